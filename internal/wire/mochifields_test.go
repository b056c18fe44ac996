package wire_test

import (
	"strings"

	"github.com/mochi-mqtt/server/v2/packets"
	"github.com/outcry-mqtt/outcry/internal/wire"
)

// fields are the comparable fields of a packet decoded by us or by mochi. Absent and empty are the same here.
type fields struct {
	PacketID uint16
	Code     byte
	Strings  []string
	Numbers  []uint32
	Flags    []bool
	Message  wire.Forwarded
	User     string
}

// ourFields returns the fields of a packet that we decoded.
func ourFields(ours any) fields {
	switch p := ours.(type) {
	case *wire.Connect:
		return connectFields(p)
	case *wire.Publish:
		return fields{
			PacketID: p.PacketID, Strings: []string{string(p.Topic), string(p.Payload)},
			Numbers: []uint32{uint32(p.QoS), uint32(p.Alias), p.Expiry, uint32(p.PayloadFormat)},
			Flags:   []bool{p.Dup, p.Retain}, Message: forwarded(p.Props),
		}
	case *wire.Subscribe:
		f := fields{PacketID: p.PacketID, Numbers: []uint32{p.Identifier}}
		for _, x := range p.Filters {
			f.Strings = append(f.Strings, x.Filter)
			f.Numbers = append(f.Numbers, uint32(x.QoS), uint32(x.RetainHandling))
			f.Flags = append(f.Flags, x.NoLocal, x.RetainAsPublished)
		}
		return f
	case *wire.Unsubscribe:
		return fields{PacketID: p.PacketID, Strings: p.Filters}
	case *wire.Disconnect:
		return fields{Code: p.Code, Strings: []string{p.Reason}, Numbers: []uint32{p.SessionExpiry}, Flags: []bool{p.HasSessionExpiry}}
	case *wire.Auth:
		return fields{Code: p.Code, Strings: []string{p.Method, string(p.Data)}}
	case *wire.Ack:
		return fields{PacketID: p.PacketID, Code: p.Code}
	}
	panic("no packet of a client")
}

func connectFields(p *wire.Connect) fields {
	f := fields{
		Strings: []string{p.ClientID, p.Username, string(p.Password), p.AuthMethod, string(p.AuthData)},
		Numbers: []uint32{uint32(p.Version), uint32(p.KeepAlive), p.SessionExpiry, uint32(p.ReceiveMaximum), p.MaximumPacketSize,
			uint32(p.TopicAliasMaximum)},
		Flags: []bool{p.CleanStart, p.HasUsername, p.HasPassword, p.HasSessionExpiry, p.RequestResponseInfo, p.RequestProblemInfo,
			p.Will != nil},
		User: users(forwarded(p.UserProperties)),
	}
	if w := p.Will; w != nil {
		f.Strings = append(f.Strings, w.Topic, string(w.Payload))
		f.Numbers = append(f.Numbers, uint32(w.QoS), w.Delay, w.Expiry)
		f.Flags = append(f.Flags, w.Retain)
		f.Message = forwarded(w.Props)
	}
	return f
}

// mochiFields returns the fields of a packet that mochi decoded.
func mochiFields(typ wire.Type, pk *packets.Packet) fields {
	x := &pk.Properties
	switch typ {
	case wire.TypeConnect:
		return mochiConnectFields(pk)
	case wire.TypePublish:
		return fields{
			PacketID: pk.PacketID, Strings: []string{pk.TopicName, string(pk.Payload)},
			Numbers: []uint32{uint32(pk.FixedHeader.Qos), uint32(x.TopicAlias), x.MessageExpiryInterval, uint32(x.PayloadFormat)},
			Flags:   []bool{pk.FixedHeader.Dup, pk.FixedHeader.Retain}, Message: mochiForwarded(x),
		}
	case wire.TypeSubscribe:
		f := fields{PacketID: pk.PacketID, Numbers: []uint32{0}}
		if len(x.SubscriptionIdentifier) > 0 {
			f.Numbers[0] = uint32(x.SubscriptionIdentifier[0])
		}
		for _, s := range pk.Filters {
			f.Strings = append(f.Strings, s.Filter)
			f.Numbers = append(f.Numbers, uint32(s.Qos), uint32(s.RetainHandling))
			f.Flags = append(f.Flags, s.NoLocal, s.RetainAsPublished)
		}
		return f
	case wire.TypeUnsubscribe:
		f := fields{PacketID: pk.PacketID}
		for _, s := range pk.Filters {
			f.Strings = append(f.Strings, s.Filter)
		}
		return f
	case wire.TypeDisconnect:
		return fields{Code: pk.ReasonCode, Strings: []string{x.ReasonString}, Numbers: []uint32{x.SessionExpiryInterval},
			Flags: []bool{x.SessionExpiryIntervalFlag}}
	case wire.TypeAuth:
		return fields{Code: pk.ReasonCode, Strings: []string{x.AuthenticationMethod, string(x.AuthenticationData)}}
	}
	return fields{PacketID: pk.PacketID, Code: pk.ReasonCode}
}

func mochiConnectFields(pk *packets.Packet) fields {
	x, k := &pk.Properties, &pk.Connect
	receive := uint32(x.ReceiveMaximum)
	if receive == 0 { // absent
		receive = 65535
	}
	f := fields{
		Strings: []string{k.ClientIdentifier, string(k.Username), string(k.Password), x.AuthenticationMethod,
			string(x.AuthenticationData)},
		Numbers: []uint32{uint32(pk.ProtocolVersion), uint32(k.Keepalive), x.SessionExpiryInterval, receive, x.MaximumPacketSize,
			uint32(x.TopicAliasMaximum)},
		Flags: []bool{k.Clean, k.UsernameFlag, k.PasswordFlag, x.SessionExpiryIntervalFlag, x.RequestResponseInfo == 1,
			!x.RequestProblemInfoFlag || x.RequestProblemInfo == 1, k.WillFlag},
		User: users(mochiForwarded(x)),
	}
	if k.WillFlag {
		f.Strings = append(f.Strings, k.WillTopic, string(k.WillPayload))
		f.Numbers = append(f.Numbers, uint32(k.WillQos), k.WillProperties.WillDelayInterval, k.WillProperties.MessageExpiryInterval)
		f.Flags = append(f.Flags, k.WillRetain)
		f.Message = mochiForwarded(&k.WillProperties)
	}
	return f
}

// forwarded decodes properties and makes empty ones absent.
func forwarded(props []byte) wire.Forwarded {
	f, err := wire.DecodeProps(props)
	if err != nil {
		panic(err) // the decoder has checked them
	}
	if len(f.CorrelationData) == 0 {
		f.CorrelationData = nil
	}
	return f
}

func mochiForwarded(x *packets.Properties) wire.Forwarded {
	f := wire.Forwarded{PayloadFormat: x.PayloadFormat, ContentType: x.ContentType, ResponseTopic: x.ResponseTopic}
	if len(x.CorrelationData) > 0 {
		f.CorrelationData = x.CorrelationData
	}
	for _, u := range x.User {
		f.User = append(f.User, wire.UserProperty{Name: u.Key, Value: u.Val})
	}
	return f
}

func users(f wire.Forwarded) string {
	var s strings.Builder
	for _, u := range f.User {
		s.WriteString(u.Name + "\x00" + u.Value + "\x00")
	}
	return s.String()
}
