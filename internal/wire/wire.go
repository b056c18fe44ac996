// Package wire is a server's codec of MQTT 3.1, 3.1.1 and 5.0: it decodes the packets of clients and encodes those of
// servers. It never does I/O and knows no session. It refuses every malformed packet and protocol error with an
// *Error that has the specified reason code. No input makes it panic.
//
// Decoding PUBLISH and acknowledgements, and encoding them into a large enough buffer, allocates nothing. PUBLISH is
// decoded in place: the result refers to the received bytes, and properties may be moved within them. All other
// packets are copied.
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

// String returns the type's name as the specification spells it, such as "PUBLISH".
func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return strconv.Itoa(int(t))
}
