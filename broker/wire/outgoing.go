package wire

import (
	"encoding/binary"
	"slices"
)

// Outgoing is a PUBLISH to a client. Topic and each string of Props have at most 65,535 bytes, and the packet has a
// remaining length below 2^28: that what came in was so bounded makes it so.
type Outgoing struct {
	Dup      bool
	QoS      byte
	Retain   bool
	Topic    string // empty only with an alias that the client knows
	PacketID uint16 // with QoS 1 and 2

	// The properties, which 3.x goes without.
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
	dst = append(dst, p.firstByte())
	dst = appendVarint(dst, remaining)
	dst = appendString(dst, p.Topic)
	if p.QoS > 0 {
		dst = binary.BigEndian.AppendUint16(dst, p.PacketID)
	}
	if version == V5 {
		dst = appendVarint(dst, props)
		dst = p.appendProps(dst)
	}
	return append(dst, p.Payload...)
}

// PublishSize is the number of bytes that AppendPublish would append.
func PublishSize(version byte, p *Outgoing) int {
	n := p.remaining(version, p.propsSize(version))
	return 1 + varintSize(n) + n
}

// PacketIDOffset is where the packet identifier of an encoded PUBLISH with QoS 1 or 2 is.
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

// remaining is the remaining length, given the size of the properties without their length.
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
	return append(dst, p.Props...)
}

// AppendAck appends a PUBACK, PUBREC, PUBREL or PUBCOMP to dst. It has a code only in MQTT 5, and there only if it is not
// Success. (mochi's encoder leaves out every code below 0x80, and so No matching subscribers.)
func AppendAck(dst []byte, t Type, version byte, id uint16, code byte) []byte {
	first := byte(t)<<4 | fixedFlags[t]
	if version == V5 && code != Success {
		return append(dst, first, 3, byte(id>>8), byte(id), code)
	}
	return append(dst, first, 2, byte(id>>8), byte(id))
}

// AppendPingresp appends a PINGRESP to dst.
func AppendPingresp(dst []byte) []byte { return append(dst, byte(TypePingresp)<<4, 0) }
