package raw

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// ID is the identifier of a property (MQTT 5 2.2.2.2).
type ID byte

// The properties.
const (
	PayloadFormat          ID = 0x01
	MessageExpiry          ID = 0x02
	ContentType            ID = 0x03
	ResponseTopic          ID = 0x08
	CorrelationData        ID = 0x09
	SubscriptionIdentifier ID = 0x0B
	SessionExpiry          ID = 0x11
	AssignedClientID       ID = 0x12
	ServerKeepAlive        ID = 0x13
	AuthMethod             ID = 0x15
	AuthData               ID = 0x16
	RequestProblemInfo     ID = 0x17
	WillDelay              ID = 0x18
	RequestResponseInfo    ID = 0x19
	ResponseInformation    ID = 0x1A
	ServerReference        ID = 0x1C
	ReasonString           ID = 0x1F
	ReceiveMaximum         ID = 0x21
	TopicAliasMaximum      ID = 0x22
	TopicAlias             ID = 0x23
	MaximumQoS             ID = 0x24
	RetainAvailable        ID = 0x25
	UserProperty           ID = 0x26
	MaximumPacketSize      ID = 0x27
	WildcardAvailable      ID = 0x28
	IdentifiersAvailable   ID = 0x29
	SharedAvailable        ID = 0x2A
)

// Kind is the encoding of a property's value.
type Kind int

// The kinds.
const (
	Byte Kind = iota
	Two
	Four
	Variable
	Text
	Binary
	PairOfText
)

// Definition is the specification of a property.
type Definition struct {
	Kind     Kind
	ToServer string // names of a client's packets that may have it; WILL are a will's properties
	ToClient string // names of a server's packets that may have it
}

const acks = "PUBACK PUBREC PUBREL PUBCOMP"

// Definitions holds every property (MQTT 5 table 2-4).
var Definitions = map[ID]Definition{
	PayloadFormat:          {Byte, "PUBLISH WILL", "PUBLISH"},
	MessageExpiry:          {Four, "PUBLISH WILL", "PUBLISH"},
	ContentType:            {Text, "PUBLISH WILL", "PUBLISH"},
	ResponseTopic:          {Text, "PUBLISH WILL", "PUBLISH"},
	CorrelationData:        {Binary, "PUBLISH WILL", "PUBLISH"},
	SubscriptionIdentifier: {Variable, "SUBSCRIBE", "PUBLISH"},
	SessionExpiry:          {Four, "CONNECT DISCONNECT", "CONNACK"}, // [MQTT-3.14.2-2]
	AssignedClientID:       {Text, "", "CONNACK"},
	ServerKeepAlive:        {Two, "", "CONNACK"},
	AuthMethod:             {Text, "CONNECT AUTH", "CONNACK AUTH"},
	AuthData:               {Binary, "CONNECT AUTH", "CONNACK AUTH"},
	RequestProblemInfo:     {Byte, "CONNECT", ""},
	WillDelay:              {Four, "WILL", ""},
	RequestResponseInfo:    {Byte, "CONNECT", ""},
	ResponseInformation:    {Text, "", "CONNACK"},
	ServerReference:        {Text, "", "CONNACK DISCONNECT"},
	ReasonString:           {Text, acks + " DISCONNECT AUTH", acks + " CONNACK SUBACK UNSUBACK DISCONNECT AUTH"},
	ReceiveMaximum:         {Two, "CONNECT", "CONNACK"},
	TopicAliasMaximum:      {Two, "CONNECT", "CONNACK"},
	TopicAlias:             {Two, "PUBLISH", "PUBLISH"},
	MaximumQoS:             {Byte, "", "CONNACK"},
	RetainAvailable:        {Byte, "", "CONNACK"},
	UserProperty: {PairOfText, acks + " CONNECT WILL PUBLISH SUBSCRIBE UNSUBSCRIBE DISCONNECT AUTH",
		acks + " CONNACK PUBLISH SUBACK UNSUBACK DISCONNECT AUTH"},
	MaximumPacketSize:    {Four, "CONNECT", "CONNACK"},
	WildcardAvailable:    {Byte, "", "CONNACK"},
	IdentifiersAvailable: {Byte, "", "CONNACK"},
	SharedAvailable:      {Byte, "", "CONNACK"},
}

// Prop is a property. N is the value of the four numeric kinds, S that of the texts; a pair has its name in Name.
type Prop struct {
	ID   ID
	N    int
	S    string
	Name string
}

// User returns a user property.
func User(name, value string) Prop { return Prop{ID: UserProperty, Name: name, S: value} }

// Never is 0xFFFFFFFF as a session expiry interval: the session does not expire.
const Never = -1

// Num returns a property with a numeric value.
func Num(id ID, n int) Prop { return Prop{ID: id, N: n} }

// Txt returns a property with a text or binary value.
func Txt(id ID, s string) Prop { return Prop{ID: id, S: s} }

// Bytes encodes the property.
func (p Prop) Bytes() []byte {
	id := []byte{byte(p.ID)}
	switch Definitions[p.ID].Kind {
	case Byte:
		return append(id, byte(p.N))
	case Two:
		return append(id, U16(p.N)...)
	case Four:
		return append(id, U32(p.N)...)
	case Variable:
		return append(id, VarInt(p.N)...)
	case PairOfText:
		return slices.Concat(id, Str(p.Name), Str(p.S))
	}
	return append(id, Str(p.S)...)
}

// Props holds the properties of a packet, in order.
type Props []Prop

// Bytes encodes the properties behind their length.
func (ps Props) Bytes() []byte {
	var b []byte
	for _, p := range ps {
		b = append(b, p.Bytes()...)
	}
	return append(VarInt(len(b)), b...)
}

// Has reports whether a property is present.
func (ps Props) Has(id ID) bool { return len(ps.All(id)) > 0 }

// Num returns a numeric property's value, -1 if it is absent.
func (ps Props) Num(id ID) int {
	for _, p := range ps.All(id) {
		return p.N
	}
	return -1
}

// Txt returns a property's text, empty if it is absent.
func (ps Props) Txt(id ID) string {
	for _, p := range ps.All(id) {
		return p.S
	}
	return ""
}

// All returns the properties with an identifier, in order.
func (ps Props) All(id ID) Props {
	return slices.DeleteFunc(slices.Clone(ps), func(p Prop) bool { return p.ID != id })
}

// props reads the properties of a server's packet and refuses those that a server may not send.
func (r *reader) props(packet string) (Props, error) {
	body := reader{b: r.take(r.varInt())}
	if r.bad {
		return nil, fmt.Errorf("the properties of %s are cut short", packet)
	}
	var ps Props
	for len(body.b) > 0 {
		p, err := body.prop(packet)
		if err != nil {
			return nil, err
		}
		if ps.Has(p.ID) && p.ID != UserProperty && p.ID != SubscriptionIdentifier {
			return nil, fmt.Errorf("property 0x%02X of %s is repeated", byte(p.ID), packet)
		}
		ps = append(ps, p)
	}
	return ps, nil
}

func (r *reader) prop(packet string) (Prop, error) {
	p := Prop{ID: ID(r.u8())}
	d, known := Definitions[p.ID]
	if !known || !slices.Contains(strings.Fields(d.ToClient), packet) {
		return p, fmt.Errorf("a server may not send property 0x%02X in %s", byte(p.ID), packet)
	}
	switch d.Kind {
	case Byte:
		p.N = int(r.u8())
	case Two:
		p.N = r.u16()
	case Four:
		p.N = r.u32()
	case Variable:
		p.N = r.varInt()
	case PairOfText:
		p.Name = r.str()
		fallthrough
	default:
		p.S = r.str()
	}
	if r.bad {
		return p, fmt.Errorf("property 0x%02X of %s is cut short", byte(p.ID), packet)
	}
	if d.Kind != Binary && !wellFormed(p.S+p.Name) {
		return p, fmt.Errorf("property 0x%02X of %s is ill-formed UTF-8", byte(p.ID), packet)
	}
	return p, nil
}

func wellFormed(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }
