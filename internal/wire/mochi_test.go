package wire_test

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
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
