package wire

import (
	"encoding/binary"
	"slices"
)

// Outgoing is a PUBLISH to a client. Topic and each string of Props have at most 65,535 bytes, and the remaining
// length is below 2^28: the bounds on incoming packets guarantee both.
type Outgoing struct {
	Dup      bool
	QoS      byte
	Retain   bool
	Topic    string // empty only with an alias known to the client
	PacketID uint16 // at QoS 1 and 2

	// The properties, which 3.x does not have.
	Alias           uint16 // 0: none
	Expiry          uint32 // seconds
	HasExpiry       bool
	Props           []byte // as in Publish
	SubscriptionIDs []uint32

	Payload []byte
}

// AppendPublish appends a PUBLISH to dst, which grows at most once.
func AppendPublish(dst []byte, version byte, p *Outgoing) []byte {
	props := p.propsSize(version)
	remaining := p.remaining(version, props)
	dst = slices.Grow(dst, 1+varintSize(remaining)+remaining)
	dst = p.appendHead(dst, version, props, remaining)
	if version == V5 {
		dst = append(dst, p.Props...)
	}
	return append(dst, p.Payload...)
}

// AppendPublish3 appends a PUBLISH of MQTT 3.x to dst, which grows at most once. At QoS 1 and 2 its packet identifier
// is 0. It is a fast path of AppendPublish.
func AppendPublish3(dst []byte, qos byte, retain bool, topic string, payload []byte) []byte {
	remaining := 2 + len(topic) + len(payload)
	first := byte(TypePublish)<<4 | qos<<1
	if qos > 0 {
		remaining += 2
	}
	if retain {
		first |= flagRetain
	}
	dst = slices.Grow(dst, 1+varintSize(remaining)+remaining)
	dst = appendTopic(dst, first, remaining, topic)
	if qos > 0 {
		dst = append(dst, 0, 0)
	}
	return append(dst, payload...)
}

// appendTopic appends the fixed header and the topic.
func appendTopic(dst []byte, first byte, remaining int, topic string) []byte {
	high, low := byte(len(topic)>>8), byte(len(topic))
	if remaining < 1<<7 {
		dst = append(dst, first, byte(remaining), high, low) // most packets are short
	} else {
		dst = append(appendVarint(append(dst, first), remaining), high, low)
	}
	return append(dst, topic...)
}

// AppendPublishHead appends the part of a PUBLISH before Props (which only MQTT 5 has) and the payload.
func AppendPublishHead(dst []byte, version byte, p *Outgoing) []byte {
	props := p.propsSize(version)
	return p.appendHead(dst, version, props, p.remaining(version, props))
}

func (p *Outgoing) appendHead(dst []byte, version byte, props, remaining int) []byte {
	dst = appendTopic(dst, p.firstByte(), remaining, p.Topic)
	if p.QoS > 0 {
		dst = append(dst, byte(p.PacketID>>8), byte(p.PacketID))
	}
	if version != V5 {
		return dst
	}
	dst = appendVarint(dst, props)
	if props == len(p.Props) {
		return dst
	}
	return p.appendProps(dst)
}

// PublishSize returns the number of bytes that AppendPublish appends.
func PublishSize(version byte, p *Outgoing) int {
	n := p.remaining(version, p.propsSize(version))
	return 1 + varintSize(n) + n
}

// PacketIDOffset returns the offset of the packet identifier in an encoded PUBLISH of QoS 1 or 2.
func PacketIDOffset(packet []byte) int {
	topic := 2
	for packet[topic-1] >= 0x80 {
		topic++
	}
	return topic + 2 + int(binary.BigEndian.Uint16(packet[topic:]))
}

func (p *Outgoing) firstByte() byte {
	b := byte(TypePublish)<<4 | p.QoS<<1
	if p.Dup {
		b |= flagDup
	}
	if p.Retain {
		b |= flagRetain
	}
	return b
}

// remaining returns the remaining length, given the size of the properties without their length prefix.
func (p *Outgoing) remaining(version byte, props int) int {
	n := 2 + len(p.Topic) + len(p.Payload)
	if p.QoS > 0 {
		n += 2
	}
	if version == V5 {
		n += varintSize(props) + props
	}
	return n
}

func (p *Outgoing) propsSize(version byte) int {
	if version != V5 {
		return 0
	}
	n := len(p.Props)
	if p.Alias != 0 {
		n += 3
	}
	if p.HasExpiry {
		n += 5
	}
	for _, id := range p.SubscriptionIDs {
		n += 1 + varintSize(int(id))
	}
	return n
}

func (p *Outgoing) appendProps(dst []byte) []byte {
	if p.Alias != 0 {
		dst = append(dst, propTopicAlias)
		dst = binary.BigEndian.AppendUint16(dst, p.Alias)
	}
	if p.HasExpiry {
		dst = append(dst, propMessageExpiry)
		dst = binary.BigEndian.AppendUint32(dst, p.Expiry)
	}
	for _, id := range p.SubscriptionIDs {
		dst = append(dst, propSubscriptionIdentifier)
		dst = appendVarint(dst, int(id))
	}
	return dst
}

// AppendAck appends a PUBACK, PUBREC, PUBREL or PUBCOMP to dst. In MQTT 5 it has a code unless that is Success.
// (mochi's encoder omits every code below 0x80, including No matching subscribers.)
func AppendAck(dst []byte, t Type, version byte, id uint16, code byte) []byte {
	first := byte(t)<<4 | fixedFlags[t]
	if version == V5 && code != Success {
		return append(dst, first, 3, byte(id>>8), byte(id), code)
	}
	return append(dst, first, 2, byte(id>>8), byte(id))
}

// AppendPingresp appends a PINGRESP to dst.
func AppendPingresp(dst []byte) []byte { return append(dst, byte(TypePingresp)<<4, 0) }
