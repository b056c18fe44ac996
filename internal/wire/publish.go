package wire

// Publish is a PUBLISH of a client (MQTT 5 3.3). Its slices refer to the decoded buffer.
type Publish struct {
	Dup      bool
	QoS      byte
	Retain   bool
	Topic    []byte // not checked yet; empty only with an alias
	PacketID uint16 // 0 at QoS 0 only

	Alias         uint16 // 0: none
	Expiry        uint32 // seconds
	HasExpiry     bool
	PayloadFormat byte // 0 or 1

	ResponseTopic []byte // without wildcards; nil: none

	// Props are the properties to forward, unaltered and in order: payload format, content type, response topic,
	// correlation data and user properties, in wire form without a length prefix.
	Props   []byte
	Payload []byte
}

// DecodePublish decodes the body of a PUBLISH in place: p refers to body, and properties may be moved within it. It
// checks everything but the topic name: the caller checks its UTF-8 and wildcards, unless it knows the name already.
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

// properties decodes the properties at the start of b, and moves the forwarded ones together.
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
		kept = append(kept, s.raw...) // never overtakes the reader
		if s.id == propResponseTopic {
			p.ResponseTopic = kept[len(kept)-len(s.data):]
		}
	}
	p.Props = kept
	return rest, s.err
}
