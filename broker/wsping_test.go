package broker_test

import (
	"math"
	"net"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// pinged is a client on a WebSocket that the broker pings.
type pinged struct {
	*raw.Client
	frames *raw.Frames
	s      *server
	news   *raw.Client // publishes what the client gets
}

// newPinged connects a client that the broker pings when it is silent for so long.
func newPinged(t *testing.T, s *server, every time.Duration, k raw.Connect) *pinged {
	t.Helper()
	addr := s.listen(broker.Conn{Listener: "ws", Framed: true, Ping: every}, func(c net.Conn) net.Conn { return c })
	p := &pinged{frames: raw.NewFrames(s.conn(addr)), s: s}
	p.Client = raw.New(t, p.frames, k.Version)
	p.Connect(k)
	p.Subscribe(0, "news")
	p.news = s.connect(raw.Connect{Version: raw.V311, ID: "news", Clean: true})
	return p
}

// pings lets time pass in steps of a second and returns how many pings came meanwhile. The client stays silent.
func (p *pinged) pings(seconds int) int {
	p.s.t.Helper()
	before := p.frames.Pings
	for range seconds {
		p.s.Advance(time.Second)
	}
	p.news.Publish(raw.Publish{Topic: "news", Payload: "x"})
	p.ExpectPublish("news", "x")
	return p.frames.Pings - before
}

func TestSilentWebSocketIsPinged(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{})
	p := newPinged(t, s, 25*time.Second, raw.Connect{Version: raw.V311, ID: "c", Clean: true})
	want := func(what string, seconds, want int) {
		t.Helper()
		if got := p.pings(seconds); got != want {
			t.Errorf("%s: %d pings in %d s, want %d", what, got, seconds, want)
		}
	}
	want("at first", 24, 0)
	want("then", 2, 1)
	want("messages that it gets are no traffic of its own", 100, 4)
	p.ExpectNothing() // it sends PINGREQ
	want("after a packet", 24, 0)
	want("and then", 2, 1)
	p.ExpectNothing()
	for range 5 {
		want("while it sends packets", 20, 0)
		p.ExpectNothing()
	}
	if got := s.Stats().Dropped; got["slow"] > 0 {
		t.Errorf("dropped: %v", got)
	}
}

// TestPongIsNoPacket holds that a client which answers pings and does not send a packet within its keep alive is closed.
func TestPongIsNoPacket(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{})
	p := newPinged(t, s, 10*time.Second, raw.Connect{Version: raw.V5, ID: "c", Clean: true, KeepAlive: 30})
	for i := range 4 {
		if got := p.pings(11); got != 1 {
			t.Fatalf("%d pings in the interval %d", got, i)
		}
		if _, err := p.frames.Conn.Write(raw.Frame(raw.OpPong, true, nil)); err != nil {
			t.Fatal(err)
		}
	}
	s.Advance(2 * time.Second)
	p.ExpectEnd(0x8D)
}

// TestNoPings holds who is not pinged: a client whose keep alive is as short, TCP, and where it is off.
func TestNoPings(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{})
	p := newPinged(t, s, 25*time.Second, raw.Connect{Version: raw.V311, ID: "short", Clean: true, KeepAlive: 25})
	if got := p.pings(36); got != 0 {
		t.Errorf("a client with a keep alive of 25 s got %d pings", got)
	}
	p = newPinged(t, s, 0, raw.Connect{Version: raw.V311, ID: "off", Clean: true})
	if got := p.pings(120); got != 0 {
		t.Errorf("%d pings, though they are off", got)
	}
	tcp := s.connect(raw.Connect{Version: raw.V311, ID: "tcp", Clean: true})
	s.Advance(120 * time.Second)
	tcp.ExpectNothing()
}

// TestPingsCostNothing holds that a ping and its pong allocate nothing.
func TestPingsCostNothing(t *testing.T) {
	s := start(t, broker.Options{Shards: 1})
	p := newPinged(t, s, time.Second, raw.Connect{Version: raw.V311, ID: "c", Clean: true})
	pong, ping := raw.Frame(raw.OpPong, true, nil), make([]byte, 2)
	once := func() {
		s.Advance(time.Second)
		if _, err := p.frames.Conn.Read(ping); err != nil || ping[0] != 0x89 || ping[1] != 0 {
			t.Fatalf("got % x, %v", ping, err)
		}
		_, _ = p.frames.Conn.Write(pong)
	}
	once()
	bare := math.Inf(1)
	for range 5 {
		bare = min(bare, testing.AllocsPerRun(100, func() { s.Advance(0) }))
	}
	n := math.Inf(1) // the least of some looks: others allocate, too, now and then
	for looks := 0; looks < 40 && n > bare; looks++ {
		n = min(n, testing.AllocsPerRun(100, once))
	}
	if n > bare {
		t.Errorf("%v allocations, %v without a ping", n, bare)
	}
}
