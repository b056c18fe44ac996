package wire

// Publish is a PUBLISH of a client (MQTT 5 3.3). Its slices lie in the bytes that it was decoded from.
type Publish struct {
	Dup      bool
	QoS      byte
	Retain   bool
	Topic    []byte // not yet checked; empty only with an alias
	PacketID uint16 // 0 with QoS 0, and only then

	Alias         uint16 // 0: none
	Expiry        uint32 // seconds
	HasExpiry     bool
	PayloadFormat byte // 0 or 1

	// Props are the properties that are passed on unaltered and in order: payload format, content type, response topic,
	// correlation data and user properties, in their wire form without a length before them.
	Props   []byte
	Payload []byte
}

// DecodePublish decodes the body of a PUBLISH in place: p has no copies, and the properties may be moved together within
// body. Everything is checked but the topic name, whose UTF-8 and wildcards are for the caller to see, who may know it
// already.
func DecodePublish(flags byte, body []byte, version byte, p *Publish) error {
	*p = Publish{Dup: flags&flagDup != 0, QoS: flags >> 1 & 3, Retain: flags&flagRetain != 0}
	if err := checkPublishFlags(flags); err != nil {
		return err
	}
	topic, b, err := cutData(body)
	if err != nil {
		return err
	}
	p.Topic = topic
	if p.QoS > 0 {
		if p.PacketID, b, err = cutPacketID(b); err != nil {
			return err
		}
	}
	if version == V5 {
		if b, err = p.properties(b); err != nil {
			return err
		}
	}
	if len(topic) == 0 && p.Alias == 0 {
		return errNoTopic
	}
	p.Payload = b
	return nil
}

// properties decodes the properties at the start of b, and moves those that are passed on together.
func (p *Publish) properties(b []byte) (rest []byte, err error) {
	if len(b) > 0 && b[0] == 0 {
		return b[1:], nil
	}
	props, rest, err := cutProps(b, V5)
	if err != nil {
		return nil, err
	}
	kept := props[:0]
	s := scanner{rest: props, in: inPublish}
	for s.next() {
		switch s.id {
		case propTopicAlias:
			p.Alias = uint16(s.num)
			continue
		case propMessageExpiry:
			p.Expiry, p.HasExpiry = s.num, true
			continue
		case propPayloadFormat:
			p.PayloadFormat = byte(s.num)
		}
		kept = append(kept, s.raw...) // is never ahead of what was read
	}
	p.Props = kept
	return rest, s.err
}
