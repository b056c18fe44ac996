package broker_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

func TestShutdownSaysGoodbye(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{})
	v5 := s.connect(raw.Connect{Version: raw.V5, ID: "five", Clean: true})
	v3 := s.connect(raw.Connect{Version: raw.V311, ID: "three", Clean: true, Will: &raw.Will{Topic: "will", Payload: "x"}})
	conn := s.conn(s.framed)
	ws := raw.New(t, raw.NewFrames(conn), raw.V311)
	ws.Connect(raw.Connect{Version: raw.V311, ID: "ws", Clean: true})
	silent := s.dial(raw.V5)
	ended := make(chan error, 1)
	go func() { ended <- s.Shutdown(t.Context()) }()
	if got := v5.Expect(raw.DISCONNECT); got.Code != 0x8B {
		t.Errorf("%v, want 0x8B", got)
	}
	v5.ExpectClosed()
	v3.ExpectClosed()
	silent.ExpectClosed()
	_ = conn.SetReadDeadline(time.Now().Add(raw.Patience))
	frame, err := io.ReadAll(conn)
	if want := "\x88\x1d\x03\xe9the server is shutting down"; err != nil || string(frame) != want {
		t.Errorf("close frame %q, %v; want %q", frame, err, want)
	}
	for _, c := range []*raw.Client{v5, v3, ws, silent} {
		c.Close()
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	a, b := net.Pipe()
	defer b.Close()
	if err := s.Attach(broker.Conn{Conn: a}); !errors.Is(err, broker.ErrClosed) {
		t.Errorf("Attach after Shutdown: %v", err)
	}
	if err := s.Publish(broker.Message{Topic: "t"}); !errors.Is(err, broker.ErrClosed) {
		t.Errorf("Publish after Shutdown: %v", err)
	}
	if err := s.Run(t.Context()); !errors.Is(err, broker.ErrClosed) {
		t.Errorf("Run after Shutdown: %v", err)
	}
}

// TestShutdownBeforeRun has a broker that was shut down before it ran not run any more.
func TestShutdownBeforeRun(t *testing.T) {
	b, err := broker.New(broker.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := b.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	}
	if err := b.Run(t.Context()); !errors.Is(err, broker.ErrClosed) {
		t.Errorf("Run: %v, want ErrClosed", err)
	}
	if st := b.Stats(); st.Sessions != 0 {
		t.Errorf("%d sessions", st.Sessions)
	}
}

func TestShutdownHasALimit(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{})
	s.connect(raw.Connect{Version: raw.V5, ID: "stays", Clean: true}) // does not close
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown: %v", err)
	}
}

func TestLimitsBeforeConnect(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{Limits: broker.Limits{ConnectTimeout: 2 * time.Second, MaxConnections: 3}})
	silent, framed := s.dial(raw.V5), s.dialFramed(raw.V5) // say nothing
	silent.ExpectClosed()
	framed.ExpectClosed()
	framed.Close()
	big := s.dial(raw.V5)
	big.Send([]byte{0x10, 0x80, 0x80, 0x08}) // claims 128 KiB
	big.ExpectClosed()
	huge := s.dial(raw.V5)
	huge.Send([]byte{0x10, 0xFF, 0xFF, 0xFF, 0x7F}) // claims 256 MiB
	huge.ExpectClosed()
	s.eventually("counted and gone", func(st broker.Stats) bool {
		return st.Closed["connect_timeout"] == 2 && st.Shards[0].Connections+st.Shards[1].Connections == 0
	})
	var open []*raw.Client
	for i := range 3 {
		open = append(open, s.connect(raw.Connect{Version: raw.V5, ID: fmt.Sprint(i), Clean: true}))
	}
	s.dial(raw.V5).ExpectClosed() // one too many
	bye(open[0])
	s.eventually("closed", func(st broker.Stats) bool { return st.Sessions == 2 })
	s.connect(raw.Connect{Version: raw.V5, ID: "again", Clean: true})
}

// TestStream carries MQTT over a connection that no poller can watch.
func TestStream(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{})
	addr := s.listen(broker.Conn{Listener: "wrapped"}, func(c net.Conn) net.Conn { return struct{ net.Conn }{c} })
	dial := func(id string) *raw.Client {
		c := raw.New(t, s.conn(addr), raw.V5)
		c.Connect(raw.Connect{Version: raw.V5, ID: id, Clean: true})
		return c
	}
	a, b := dial("a"), dial("b")
	a.Subscribe(1, "t/#")
	for i := range 500 {
		b.Send(raw.Publish{Topic: "t/1", Payload: fmt.Sprint(i, strings.Repeat("x", 10000)), QoS: 1, ID: i + 1}.Bytes(raw.V5))
	}
	for i := range 500 {
		got := a.Expect(raw.PUBLISH)
		if !strings.HasPrefix(got.Payload, fmt.Sprint(i, "x")) || len(got.Payload) < 10000 {
			t.Fatalf("message %d: %.20q", i, got.Payload)
		}
		a.Send(raw.Ack(raw.PUBACK, got.ID))
	}
	for i := range 500 {
		b.ExpectAck(raw.PUBACK, i+1)
	}
	bye(a)
	b.Close()
	s.eventually("gone", func(st broker.Stats) bool { return st.Sessions == 0 })
}

// toldReads tells of each Read that begins.
type toldReads struct {
	net.Conn
	begun chan struct{}
}

func (c toldReads) Read(p []byte) (int, error) {
	c.begun <- struct{}{}
	return c.Conn.Read(p)
}

// TestStreamPausedWhileItReads pauses a stream while its reader waits for the peer. The reader may not read once more before its next
// piece is handled, because it would overwrite it.
func TestStreamPausedWhileItReads(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{Shards: 1})
	begun := make(chan struct{}, 16)
	addr := s.listen(broker.Conn{Listener: "wrapped"}, func(c net.Conn) net.Conn { return toldReads{c, begun} })
	c := raw.New(t, s.conn(addr), raw.V5)
	c.Connect(raw.Connect{Version: raw.V5, ID: "c", Clean: true})
	<-begun // CONNECT
	<-begun
	if n := s.Resume(); n != 0 {
		t.Errorf("%d readers may read before the shard has handled a piece, want 0", n)
	}
	c.Subscribe(0, "a")
	c.Subscribe(0, "b")
}

func TestPublishRefusesWhatCannotBeSent(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{Limits: broker.Limits{MaxPacketBytes: 1000}})
	for name, m := range map[string]broker.Message{
		"empty topic":       {},
		"wildcard":          {Topic: "a/#"},
		"reserved":          {Topic: "$SYS/x"},
		"QoS 3":             {Topic: "a", QoS: 3},
		"too large":         {Topic: "a", Payload: make([]byte, 1000)},
		"payload format":    {Topic: "a", PayloadFormat: 2},
		"ill-formed UTF-8":  {Topic: "a", ContentType: "\xff"},
		"wildcard response": {Topic: "a", ResponseTopic: "b/+"},
	} {
		if err := s.Publish(m); err == nil {
			t.Errorf("%s: it was published", name)
		}
	}
}

func TestSysTopics(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{Version: "9.9.9"})
	c := s.connect(raw.Connect{Version: raw.V311, ID: "c", Clean: true})
	c.Subscribe(0, "$SYS/broker/version", "#")
	c.ExpectPublish("$SYS/broker/version", "outcry 9.9.9")
	c.ExpectNothing() // # does not match $SYS
	c.Subscribe(0, "$SYS/broker/clients/#")
	for range 6 {
		if got := c.Expect(raw.PUBLISH); !strings.HasPrefix(got.Topic, "$SYS/broker/clients/") || !got.Retain {
			t.Errorf("%v", got)
		}
	}
	c.Publish(raw.Publish{Topic: "$SYS/broker/version", Payload: "mine", QoS: 1})
	c.ExpectNothing()
}

func TestStats(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{})
	a := s.connect(raw.Connect{Version: raw.V311, ID: "a", Clean: true})
	b := s.connect(raw.Connect{Version: raw.V5, ID: "b", Clean: true})
	a.Subscribe(1, "t")
	a.Subscribe(1, "$share/g/u")
	for i := range 10 {
		b.Publish(raw.Publish{Topic: "t", Payload: fmt.Sprint(i), QoS: 1})
		a.Expect(raw.PUBLISH)
	}
	st := s.Stats()
	if st.Inflight != 10 || st.MessagesReceived[1] != 10 || st.MessagesSent[1] != 10 || st.Subscriptions != 2 || st.SharedSubscriptions != 1 {
		t.Errorf("%+v", st)
	}
	if n := st.FlushLatency.Counts; n[len(n)-1] != 10 || st.FlushLatency.Sum <= 0 {
		t.Errorf("latency %+v", st.FlushLatency)
	}
	open := int64(0)
	for _, c := range st.Connections {
		open += c.Open
	}
	if open != 2 || len(st.Shards) != 2 || st.Sessions != 2 {
		t.Errorf("%d open, %d shards, %d sessions", open, len(st.Shards), st.Sessions)
	}
	a.Close()
	bye(b)
	s.eventually("all gone", func(st broker.Stats) bool {
		return st.Sessions == 0 && st.Inflight == 0 && st.Subscriptions == 0 && st.SharedSubscriptions == 0
	})
}
