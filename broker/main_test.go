package broker_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is a broker with a TCP port and one whose connections are WebSockets after their upgrade.
type server struct {
	*broker.Broker
	t           testing.TB
	tcp, framed string
	ended       chan error
	cancel      context.CancelFunc // ends the context of Run
}

// start runs a broker until the end of the test.
func start(t testing.TB, o broker.Options) *server {
	t.Helper()
	if o.Shards == 0 {
		o.Shards = 2
	}
	b, err := broker.New(o)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{Broker: b, t: t, ended: make(chan error, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	go func() { s.ended <- b.Run(ctx) }()
	s.tcp = s.listen(broker.Conn{Listener: "tcp"}, func(c net.Conn) net.Conn { return c })
	s.framed = s.listen(broker.Conn{Listener: "ws", Framed: true}, func(c net.Conn) net.Conn { return c })
	t.Cleanup(func() {
		cancel()
		if err := <-s.ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return s
}

// listen attaches every connection to a new port, and returns its address.
func (s *server) listen(like broker.Conn, wrap func(net.Conn) net.Conn) string {
	s.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			link := like
			link.Conn = wrap(c)
			if err := s.Attach(link); err != nil && !errors.Is(err, broker.ErrClosed) && !errors.Is(err, broker.ErrTooManyConnections) {
				s.t.Errorf("Attach: %v", err)
			}
		}
	}()
	s.t.Cleanup(func() {
		_ = ln.Close()
		<-done
	})
	return ln.Addr().String()
}

func (s *server) conn(addr string) net.Conn {
	s.t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// dial opens a connection on which nothing has been said.
func (s *server) dial(version byte) *raw.Client {
	s.t.Helper()
	return raw.New(s.t, s.conn(s.tcp), version)
}

// dialFramed is dial over WebSocket frames.
func (s *server) dialFramed(version byte) *raw.Client {
	s.t.Helper()
	return raw.New(s.t, raw.NewFrames(s.conn(s.framed)), version)
}

// connect opens a connection whose CONNECT is accepted.
func (s *server) connect(k raw.Connect) *raw.Client {
	s.t.Helper()
	c := s.dial(k.Version)
	c.Connect(k)
	return c
}

// idOn returns a client identifier, one that begins as name does, of a shard.
func (s *server) idOn(shard int, name string) string {
	for i := 0; ; i++ {
		if id := fmt.Sprint(name, "-", i); s.ShardOf(id) == shard {
			return id
		}
	}
}

// slow opens a connection whose socket holds little, so that it is soon full when it is not read.
func (s *server) slow(k raw.Connect) (*raw.Client, *net.TCPConn) {
	s.t.Helper()
	d := net.Dialer{}
	conn, err := d.Dial("tcp", s.tcp)
	if err != nil {
		s.t.Fatal(err)
	}
	tcp := conn.(*net.TCPConn)
	if err := tcp.SetReadBuffer(256 << 10); err != nil {
		s.t.Fatal(err)
	}
	c := raw.New(s.t, conn, k.Version)
	c.Connect(k)
	return c, tcp
}

// eventually waits for a condition of the broker.
func (s *server) eventually(what string, ok func(broker.Stats) bool) {
	s.t.Helper()
	for end := time.Now().Add(raw.Patience); ; time.Sleep(2 * time.Millisecond) {
		st := s.Stats()
		if ok(st) {
			return
		}
		if time.Now().After(end) {
			s.t.Fatalf("%s: not within %v; %+v", what, raw.Patience, st)
		}
	}
}

func ptr[T any](v T) *T { return &v }

// bye disconnects in good order.
func bye(c *raw.Client) {
	c.Send(raw.Packet(raw.DISCONNECT.Header()))
	c.ExpectClosed()
}
