// Package wire is the codec of MQTT 3.1, 3.1.1 and 5.0 as a server speaks it: it decodes the packets that clients send and
// encodes those that they are sent. It never does I/O, knows no session, and takes nothing that the specification calls
// malformed or an error: each has an *Error with the reason code that is named for it. No bytes can make it panic.
//
// Decoding PUBLISH and the acknowledgements, and encoding them into a buffer that is large enough, allocates nothing.
// PUBLISH is decoded in place: what is decoded lies in the bytes that were received, and they may be moved about in them.
// All other packets are copied out of them.
package wire

import "strconv"

// Type is the type of a control packet (MQTT 5 2.1.2).
type Type byte

// The types of control packets. Zero is reserved, and so is TypeAuth before MQTT 5.
const (
	TypeConnect Type = iota + 1
	TypeConnack
	TypePublish
	TypePuback
	TypePubrec
	TypePubrel
	TypePubcomp
	TypeSubscribe
	TypeSuback
	TypeUnsubscribe
	TypeUnsuback
	TypePingreq
	TypePingresp
	TypeDisconnect
	TypeAuth
)

// The protocol's versions, as CONNECT names them.
const (
	V31  byte = 3 // MQTT 3.1
	V311 byte = 4 // MQTT 3.1.1
	V5   byte = 5 // MQTT 5.0
)

var typeNames = [...]string{
	"RESERVED", "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP", "SUBSCRIBE", "SUBACK",
	"UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH",
}

// String returns the type's name as the specification writes it, "PUBLISH".
func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return strconv.Itoa(int(t))
}
