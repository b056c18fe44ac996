package raw

import "slices"

// Type is the type of a control packet.
type Type byte

// The types (MQTT 5 table 2-1).
const (
	CONNECT Type = iota + 1
	CONNACK
	PUBLISH
	PUBACK
	PUBREC
	PUBREL
	PUBCOMP
	SUBSCRIBE
	SUBACK
	UNSUBSCRIBE
	UNSUBACK
	PINGREQ
	PINGRESP
	DISCONNECT
	AUTH
)

// String returns the type's name.
func (t Type) String() string {
	return [...]string{"RESERVED", "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP", "SUBSCRIBE",
		"SUBACK", "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH"}[t&15]
}

// Header returns the first byte of a packet of this type, with the flags that the specification prescribes.
func (t Type) Header() byte {
	if t == PUBREL || t == SUBSCRIBE || t == UNSUBSCRIBE {
		return byte(t)<<4 | 2
	}
	return byte(t) << 4
}

// The versions of the protocol, as encoded in CONNECT.
const (
	V31  byte = 3
	V311 byte = 4
	V5   byte = 5
)

// Will holds the will of a CONNECT.
type Will struct {
	Topic, Payload string
	QoS            byte
	Retain         bool
	Props          Props
}

// Connect is a CONNECT. The zero value resumes an existing session (clean start is off).
type Connect struct {
	Version   byte // 0: the client's version
	ID        string
	Clean     bool
	KeepAlive int
	Will      *Will
	User      *string
	Password  *string
	Props     Props
}

// Connect flags (MQTT 5 3.1.2.3).
const (
	FlagReserved byte = 1 << iota
	FlagClean
	FlagWill
	FlagWillQoS1
	FlagWillQoS2
	FlagWillRetain
	FlagPassword
	FlagUser
)

// Flags returns the connect flags that fit the fields.
func (k Connect) Flags() byte {
	var f byte
	for flag, on := range map[byte]bool{FlagClean: k.Clean, FlagWill: k.Will != nil, FlagPassword: k.Password != nil,
		FlagUser: k.User != nil, FlagWillRetain: k.Will != nil && k.Will.Retain} {
		if on {
			f |= flag
		}
	}
	if k.Will != nil {
		f |= k.Will.QoS << 3
	}
	return f
}

// Payload returns the part behind the variable header.
func (k Connect) Payload() []byte {
	b := Str(k.ID)
	if w := k.Will; w != nil {
		if k.Version >= V5 {
			b = append(b, w.Props.Bytes()...)
		}
		b = slices.Concat(b, Str(w.Topic), Str(w.Payload))
	}
	if k.User != nil {
		b = append(b, Str(*k.User)...)
	}
	if k.Password != nil {
		b = append(b, Str(*k.Password)...)
	}
	return b
}

// Bytes encodes the packet.
func (k Connect) Bytes() []byte { return k.With(k.Flags(), k.Payload()) }

// With encodes the packet with other connect flags and another payload.
func (k Connect) With(flags byte, payload []byte) []byte {
	name := "MQTT"
	if k.Version == V31 {
		name = "MQIsdp"
	}
	return k.Named(name, k.Version, flags, payload)
}

// Named encodes the packet with another protocol name and level too.
func (k Connect) Named(name string, level, flags byte, payload []byte) []byte {
	var props []byte
	if k.Version >= V5 {
		props = k.Props.Bytes()
	}
	return Packet(CONNECT.Header(), Str(name), []byte{level, flags}, U16(k.KeepAlive), props, payload)
}

// Publish is a PUBLISH.
type Publish struct {
	Topic, Payload string
	QoS            byte
	Dup, Retain    bool
	ID             int // packet identifier at QoS 1 and 2
	Props          Props
}

// Bytes encodes the packet.
func (p Publish) Bytes(version byte) []byte {
	h := PUBLISH.Header() | p.QoS<<1
	if p.Dup {
		h |= 8
	}
	if p.Retain {
		h |= 1
	}
	b := Str(p.Topic)
	if p.QoS > 0 {
		b = append(b, U16(p.ID)...)
	}
	if version >= V5 {
		b = append(b, p.Props.Bytes()...)
	}
	return Packet(h, b, []byte(p.Payload))
}

// Filter is a topic filter with its subscription options.
type Filter struct {
	Name    string
	Options byte // the QoS, and in MQTT 5 the options below
}

// Subscription options (MQTT 5 3.8.3.1).
const (
	NoLocal           byte = 1 << 2
	RetainAsPublished byte = 1 << 3
	RetainIfNew       byte = 1 << 4
	RetainNever       byte = 2 << 4
)

// Subscribe is a SUBSCRIBE.
type Subscribe struct {
	ID      int
	Filters []Filter
	Props   Props
}

// Bytes encodes the packet.
func (s Subscribe) Bytes(version byte) []byte {
	b := U16(s.ID)
	if version >= V5 {
		b = append(b, s.Props.Bytes()...)
	}
	for _, f := range s.Filters {
		b = append(append(b, Str(f.Name)...), f.Options)
	}
	return Packet(SUBSCRIBE.Header(), b)
}

// Unsubscribe is an UNSUBSCRIBE.
type Unsubscribe struct {
	ID      int
	Filters []string
	Props   Props
}

// Bytes encodes the packet.
func (u Unsubscribe) Bytes(version byte) []byte {
	b := U16(u.ID)
	if version >= V5 {
		b = append(b, u.Props.Bytes()...)
	}
	for _, f := range u.Filters {
		b = append(b, Str(f)...)
	}
	return Packet(UNSUBSCRIBE.Header(), b)
}

// Ack encodes an acknowledgement of a PUBLISH in its short form: any version, code 0.
func Ack(t Type, id int) []byte { return Packet(t.Header(), U16(id)) }

// AckCode encodes an acknowledgement of MQTT 5 with a reason code and properties.
func AckCode(t Type, id int, code byte, ps ...Prop) []byte {
	return Packet(t.Header(), U16(id), []byte{code}, Props(ps).Bytes())
}

// Disconnect encodes a DISCONNECT of MQTT 5 with a reason code and properties.
func Disconnect(code byte, ps ...Prop) []byte {
	return Packet(DISCONNECT.Header(), []byte{code}, Props(ps).Bytes())
}

// Auth encodes an AUTH.
func Auth(code byte, ps ...Prop) []byte {
	return Packet(AUTH.Header(), []byte{code}, Props(ps).Bytes())
}

// Plain encodes a packet without a body: PINGREQ, or the DISCONNECT of every version.
func Plain(t Type) []byte { return Packet(t.Header()) }
