package wire_test

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/mochi-mqtt/server/v2/packets"
	"github.com/outcry-mqtt/outcry/internal/wire"
)

// mochiIsWrong reports whether mochi's decoder is known to be wrong about a packet. It must accept every other packet
// that we accept, with the same fields. (It accepts more, and panics on some that we refuse.) It is wrong about:
//
//   - an empty password and a will without a payload, which it refuses;
//   - the protocol level of a bridge, which it does not know;
//   - rules of 3.1: ignored flags and missing credentials;
//   - a DISCONNECT of one byte, whose code it overlooks;
//   - an invalid topic name: we leave that check to the engine.
func mochiIsWrong(c client, ours any) bool {
	switch p := ours.(type) {
	case *wire.Connect:
		return p.Bridge || p.HasPassword && len(p.Password) == 0 || p.Will != nil && (len(p.Will.Payload) == 0 || p.Will.Topic == "") ||
			p.Version == wire.V31 && lacksFlaggedField(c.body, p)
	case *wire.Publish:
		return !wire.ValidUTF8(p.Topic) || bytes.ContainsAny(p.Topic, "+#")
	case *wire.Subscribe:
		return c.version == wire.V31
	case *wire.Disconnect:
		return len(c.body) == 1
	}
	return false
}

func lacksFlaggedField(body []byte, p *wire.Connect) bool {
	flags := body[2+len("MQIsdp")+1]
	return flags&1 != 0 || flags&4 == 0 && flags&0x38 != 0 || flags&0x80 != 0 && !p.HasUsername || flags&0x40 != 0 && !p.HasPassword
}

// decode decodes a packet with our decoder. The result points to the struct of its type.
func decode(c client) (any, error) {
	body := slices.Clone(c.body)
	switch c.typ {
	case wire.TypeConnect:
		p := new(wire.Connect)
		return p, wire.DecodeConnect(body, p)
	case wire.TypePublish:
		p := new(wire.Publish)
		return p, wire.DecodePublish(c.flags, body, c.version, p)
	case wire.TypeSubscribe:
		p := new(wire.Subscribe)
		return p, wire.DecodeSubscribe(body, c.version, p)
	case wire.TypeUnsubscribe:
		p := new(wire.Unsubscribe)
		return p, wire.DecodeUnsubscribe(body, c.version, p)
	case wire.TypeDisconnect:
		p := new(wire.Disconnect)
		return p, wire.DecodeDisconnect(body, c.version, p)
	case wire.TypeAuth:
		p := new(wire.Auth)
		return p, wire.DecodeAuth(body, p)
	}
	p := new(wire.Ack)
	return p, wire.DecodeAck(c.typ, body, c.version, p)
}

// mochi decodes and validates a packet with mochi's decoder.
func mochi(c client) (pk packets.Packet, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	pk.ProtocolVersion = c.version
	if err := pk.FixedHeader.Decode(byte(c.typ)<<4 | c.flags); err != nil {
		return pk, err
	}
	pk.FixedHeader.Remaining = len(c.body)
	verdict := packets.CodeSuccess
	body := slices.Clone(c.body)
	switch c.typ {
	case wire.TypeConnect:
		err = pk.ConnectDecode(body)
		verdict = pk.ConnectValidate()
	case wire.TypePublish:
		err = pk.PublishDecode(body)
		verdict = pk.PublishValidate(65535)
	case wire.TypeSubscribe:
		err = pk.SubscribeDecode(body)
		verdict = pk.SubscribeValidate()
	case wire.TypeUnsubscribe:
		err = pk.UnsubscribeDecode(body)
		verdict = pk.UnsubscribeValidate()
	case wire.TypeDisconnect:
		err = pk.DisconnectDecode(body)
	case wire.TypeAuth:
		err = pk.AuthDecode(body)
		verdict = pk.AuthValidate()
	default:
		err = pk.PubackDecode(body) // one decoder for all four
	}
	if err == nil && (verdict != packets.CodeSuccess || !pk.ReasonCodeValid()) {
		err = fmt.Errorf("not valid: %v", verdict)
	}
	return pk, err
}

// mustAgree fails the test if we accept a packet and mochi refuses it or decodes other fields.
func mustAgree(t *testing.T, c client) (taken bool) {
	t.Helper()
	ours, err := decode(c)
	if err != nil || mochiIsWrong(c, ours) {
		return err == nil
	}
	pk, err := mochi(c)
	if err != nil {
		t.Errorf("%v of %d % X: mochi refuses it: %v", c.typ, c.version, c.body, err)
		return true
	}
	if got, want := ourFields(ours), mochiFields(c.typ, &pk); !reflect.DeepEqual(got, want) {
		t.Errorf("%v of %d % X:\ngot        %+v\nmochi says %+v", c.typ, c.version, c.body, got, want)
	}
	return true
}

// TestAgainstMochi mutates the seeds: it changes every byte, removes bytes and inserts some.
func TestAgainstMochi(t *testing.T) {
	var taken, tried int
	try := func(c client) {
		tried++
		if mustAgree(t, c) {
			taken++
		}
	}
	for _, seed := range seeds() {
		if !mustAgree(t, seed) {
			t.Errorf("%v of %d % X was refused", seed.typ, seed.version, seed.body)
		}
		for i, b := range seed.body {
			for _, x := range []byte{0, 1, 2, 3, 4, 5, 6, 0x26, '+', 0x7F, 0x80, 0xFF, b + 1, b - 1, b ^ 0x40, b ^ 0x80} {
				c := seed
				c.body = slices.Clone(seed.body)
				c.body[i] = x
				try(c)
				c.body = slices.Insert(slices.Clone(seed.body), i, x)
				try(c)
			}
			c := seed
			c.body = slices.Delete(slices.Clone(seed.body), i, i+1)
			try(c)
			c.body = seed.body[:i]
			try(c)
		}
	}
	if taken < tried/10 || taken > tried*9/10 {
		t.Errorf("%d of %d packets were taken: the test compares hardly anything", taken, tried)
	}
}

func FuzzAgainstMochi(f *testing.F) {
	addCorpus(f)
	for _, s := range seeds() {
		f.Add(byte(s.typ), s.flags, s.version, s.body)
	}
	f.Fuzz(func(t *testing.T, typ, flags, version byte, body []byte) {
		c := client{wire.Type(typ & 15), flags & 15, wire.V31 + version%3, body}
		if _, _, err := wire.ParseHeader([]byte{byte(c.typ)<<4 | c.flags}); err != nil {
			return
		}
		switch c.typ {
		case wire.TypeConnack, wire.TypeSuback, wire.TypeUnsuback, wire.TypePingresp: // of servers
			return
		case wire.TypePingreq: // it has no body
			return
		case wire.TypeConnect: // it has its version in it
			var p wire.Connect
			_ = wire.DecodeConnect(slices.Clone(body), &p)
			c.version = p.Version
		case wire.TypeAuth:
			c.version = wire.V5
		}
		mustAgree(t, c)
	})
}

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
