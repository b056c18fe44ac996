package wire

// Ack is a PUBACK, PUBREC, PUBREL or PUBCOMP (MQTT 5 3.4 to 3.7).
type Ack struct {
	PacketID uint16 // never 0
	Code     byte   // Success in 3.x
}

// DecodeAck decodes the body of an acknowledgement of type t. Reason strings and user properties are checked and then
// ignored.
func DecodeAck(t Type, body []byte, version byte, a *Ack) error {
	a.Code = Success
	id, b, err := cutPacketID(body)
	a.PacketID = id
	if err != nil || len(b) == 0 {
		return err
	}
	if version < V5 {
		return errTrailing
	}
	a.Code, b = b[0], b[1:]
	if !ackCode(t, a.Code) {
		return errReasonCode
	}
	if len(b) == 0 { // no properties (MQTT 5 3.4.2.2.1)
		return nil
	}
	return ignoreProps(b, inAck)
}

// ackCode reports whether an acknowledgement may have a reason code [MQTT-3.4.2-1] [MQTT-3.5.2-1] [MQTT-3.6.2-1]
// [MQTT-3.7.2-1].
func ackCode(t Type, code byte) bool {
	if t == TypePubrel || t == TypePubcomp {
		return code == Success || code == PacketIDNotFound
	}
	switch code {
	case Success, NoMatchingSubscribers, UnspecifiedError, ImplementationSpecificError, NotAuthorized, TopicNameInvalid,
		PacketIDInUse, QuotaExceeded, PayloadFormatInvalid:
		return true
	}
	return false
}

// ignoreProps checks the properties at the end of a packet.
func ignoreProps(b []byte, in packetSet) error {
	s, err := lastProps(b, in)
	if err != nil {
		return err
	}
	for s.next() {
	}
	return s.err
}

// lastProps returns a scanner of the properties at the end of a packet.
func lastProps(b []byte, in packetSet) (scanner, error) {
	props, rest, err := cutProps(b, V5)
	if err == nil && len(rest) > 0 {
		err = errTrailing
	}
	return scanner{rest: props, in: in}, err
}
