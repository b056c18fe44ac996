package broker_test

import (
	"context"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
	"github.com/outcry-mqtt/outcry/broker/storage"
)

// FuzzConnection sends whatever bytes to a broker that another client uses: on a new connection, behind a CONNECT of
// each version, and in WebSocket frames or instead of them. Nothing may make it panic or keep the other client waiting.
func FuzzConnection(f *testing.F) {
	addCorpus(f)
	for way := range byte(8) {
		for _, seed := range seeds() {
			f.Add(way, seed)
		}
	}
	b := runBroker(f)
	other := raw.New(f, attach(f, b, false), raw.V5)
	other.Connect(raw.Connect{Version: raw.V5, ID: "other", Clean: true})
	other.Subscribe(0, "watched")

	f.Fuzz(func(t *testing.T, way byte, data []byte) {
		framed, unframed := way&4 != 0, way&8 != 0
		conn := attach(t, b, framed)
		defer conn.Close()
		var out io.Writer = conn
		if framed && !unframed {
			out = raw.NewFrames(conn)
		}
		_ = conn.SetDeadline(time.Now().Add(raw.Patience))
		if version := way & 3; version > 0 {
			_, _ = out.Write(raw.Connect{Version: version + 2, ID: "fuzz", Clean: true}.Bytes())
		}
		_, _ = out.Write(data)
		_ = conn.(*net.TCPConn).CloseWrite()
		if _, err := io.Copy(io.Discard, conn); err != nil {
			if ne, ok := err.(net.Error); ok && ne.Timeout() {
				t.Fatal("the connection is not closed")
			}
		}
		if err := other.TrySend(raw.Plain(raw.PINGREQ)); err != nil {
			t.Fatal(err)
		}
		for { // it may hear what was published
			if p, err := other.Read(); err != nil {
				t.Fatal(err)
			} else if p.Type == raw.PINGRESP {
				return
			}
		}
	})
}

// runBroker runs a broker of two shards until the end of the test.
func runBroker(tb testing.TB) *broker.Broker {
	tb.Helper()
	b, err := broker.New(broker.Options{Shards: 2})
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	tb.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			tb.Errorf("Run: %v", err)
		}
	})
	return b
}

// attach connects to the broker over a socket of its own.
func attach(t testing.TB, b *broker.Broker, framed bool) net.Conn {
	t.Helper()
	return attachLink(t, b, broker.Conn{Listener: "fuzz", Framed: framed})
}

// attachLink is attach for a link of any kind.
func attachLink(t testing.TB, b *broker.Broker, link broker.Conn) net.Conn {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	peer, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	link.Conn = peer
	if err := b.Attach(link); err != nil {
		t.Fatal(err)
	}
	return conn
}

// seeds are packets of every kind, alone and one behind the other.
func seeds() [][]byte {
	all := [][]byte{
		raw.Connect{Version: raw.V5, ID: "x", Will: &raw.Will{Topic: "watched", Payload: "w", QoS: 1, Retain: true}}.Bytes(),
		raw.Publish{Topic: "watched", Payload: "p"}.Bytes(raw.V311),
		raw.Publish{Topic: "watched", Payload: "p", QoS: 2, ID: 3, Retain: true}.Bytes(raw.V5),
		raw.Publish{Topic: "watched", QoS: 1, ID: 4, Props: raw.Props{raw.Num(raw.TopicAlias, 1), raw.User("a", "b")}}.Bytes(raw.V5),
		raw.Publish{QoS: 1, ID: 5, Props: raw.Props{raw.Num(raw.TopicAlias, 1)}}.Bytes(raw.V5),
		raw.Subscribe{ID: 1, Filters: []raw.Filter{{Name: "#", Options: 2}, {Name: "$share/g/+", Options: 1}, {Name: "$SYS/#"}}}.Bytes(raw.V5),
		raw.Subscribe{ID: 1, Filters: []raw.Filter{{Name: "watched", Options: 1}}}.Bytes(raw.V311),
		raw.Unsubscribe{ID: 2, Filters: []string{"#", "$share/g/+"}}.Bytes(raw.V5),
		raw.Ack(raw.PUBACK, 1), raw.Ack(raw.PUBREC, 1), raw.Ack(raw.PUBREL, 3), raw.Ack(raw.PUBCOMP, 1),
		raw.Plain(raw.PINGREQ), raw.Disconnect(4), raw.Auth(0x18),
		raw.Frame(9, true, []byte("ping")), raw.Frame(8, true, []byte{3, 232}), raw.Frame(1, true, []byte("text")),
		{0x10, 0xFF, 0xFF, 0xFF, 0x7F}, {0x82, 0xFE, 0xFF, 0xFF}, {0xF0, 0x00},
	}
	return append(all, slices.Concat(all[1:]...), slices.Concat(all[5], all[2], all[8], all[10]))
}

// FuzzStoreRecord starts a broker on a store with a record of any bytes: it is refused, or nothing is wrong with it.
func FuzzStoreRecord(f *testing.F) {
	addCorpus(f)
	store := newMemoryStore()
	runOn(f, store, func(b *broker.Broker) {
		b.AddSessions(3, func(int) string { return "t" })
		for qos := range byte(3) {
			m := broker.Message{Topic: "t", Payload: []byte("x"), QoS: qos, Retain: true, MessageExpiry: time.Hour}
			if err := b.Publish(m); err != nil {
				f.Fatal(err)
			}
		}
	})
	for space := range store.values {
		for key, value := range store.values[space] {
			f.Add(uint8(space), key, value)
		}
	}
	f.Fuzz(func(t *testing.T, space uint8, key string, value []byte) {
		if int(space) >= storage.Spaces {
			return
		}
		one := store.copied()
		one.values[space][key] = value
		problems := 0
		if err := storage.Check(one, func(error) { problems++ }); err != nil {
			t.Fatal(err)
		}
		if started := runOn(t, one, func(*broker.Broker) {}); !started && problems == 0 {
			t.Error("a broker did not start where the check found nothing")
		}
	})
}

// runOn runs a broker on a store for as long as do takes. It returns false if the broker does not start.
func runOn(tb testing.TB, store storage.Store, do func(*broker.Broker)) bool {
	b, err := broker.New(broker.Options{Store: store, Shards: 1})
	if err != nil {
		return false
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	do(b)
	cancel()
	if err := <-ended; err != nil {
		tb.Fatal(err)
	}
	return true
}
