package conformance_test

import (
	"context"
	"errors"
	"flag"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
	"github.com/outcry-mqtt/outcry/broker/storage"
	"github.com/outcry-mqtt/outcry/hooks/boltstore"
	"go.uber.org/goleak"
)

// TestMain runs many tests in parallel: most of their time is waiting.
func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", "16")
	if peer != "" {
		raw.Patience = 3 * time.Second // peers fail more often
	}
	goleak.VerifyTestMain(m)
}

// peer is the command line of another broker under test; {port} in it stands for the port.
var peer = os.Getenv("OUTCRY_CONFORMANCE_PEER")

// server is a broker under test.
type server struct {
	t      *testing.T
	addr   string
	framed string         // address with WebSocket frames, after the upgrade
	plain  string         // address of connections without a descriptor, like those of TLS
	broker *broker.Broker // nil for a peer
}

// start starts a broker for one test, which runs in parallel with others.
func start(t *testing.T) *server {
	t.Helper()
	t.Parallel()
	if peer != "" {
		return startPeer(t)
	}
	return startWith(t, broker.Options{})
}

// startOurs starts Outcry with options. It skips the test if a peer is tested.
func startOurs(t *testing.T, o broker.Options) *server {
	t.Helper()
	t.Parallel()
	if peer != "" {
		t.Skip("needs options that are ours")
	}
	return startWith(t, o)
}

func openStore(t *testing.T) storage.Store {
	t.Helper()
	store, err := boltstore.Open(boltstore.Options{Path: filepath.Join(t.TempDir(), "outcry.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

func startWith(t *testing.T, o broker.Options) *server {
	t.Helper()
	if o.Shards == 0 {
		o.Shards = 2 // so that messages cross shards
	}
	if o.Store == nil { // a real store: writes to it take other paths
		o.Store = openStore(t)
	}
	b, err := broker.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	s := &server{t: t, broker: b}
	s.addr = s.listen(broker.Conn{Listener: "tcp"}, unwrapped)
	s.framed = s.listen(broker.Conn{Listener: "ws", Framed: true}, unwrapped)
	s.plain = s.listen(broker.Conn{Listener: "plain"}, func(c net.Conn) net.Conn { return struct{ net.Conn }{c} })
	return s
}

func unwrapped(c net.Conn) net.Conn { return c }

// listen passes every connection of a new port to the broker, wrapped by dress, and returns the address.
func (s *server) listen(like broker.Conn, wrap func(net.Conn) net.Conn) string {
	s.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			link := like
			link.Conn = wrap(conn)
			_ = s.broker.Attach(link) // Attach owns the connection, even when it fails
		}
	}()
	s.t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return l.Addr().String()
}

func startPeer(t *testing.T) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().(*net.TCPAddr)
	_ = l.Close()
	words := strings.Fields(strings.ReplaceAll(peer, "{port}", strconv.Itoa(addr.Port)))
	cmd := exec.Command(words[0], words[1:]...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for end := time.Now().Add(raw.Patience); ; time.Sleep(5 * time.Millisecond) {
		conn, err := net.Dial("tcp", addr.String())
		if err == nil {
			_ = conn.Close()
			return &server{t: t, addr: addr.String()}
		}
		if time.Now().After(end) {
			t.Fatalf("%s does not listen: %v", peer, err)
		}
	}
}

// dial opens a connection and sends nothing.
func (s *server) dial(t *testing.T, version byte) *raw.Client {
	t.Helper()
	return raw.New(t, s.conn(t, s.addr), version)
}

func (s *server) conn(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// connect opens a connection and sends a CONNECT, which must be accepted.
func (s *server) connect(t *testing.T, k raw.Connect) *raw.Client {
	t.Helper()
	c, _ := s.open(t, k)
	return c
}

// open is connect; it also returns the CONNACK.
func (s *server) open(t *testing.T, k raw.Connect) (*raw.Client, *raw.Received) {
	t.Helper()
	c := s.dial(t, k.Version)
	return c, c.Connect(k)
}

// clean returns a CONNECT whose session ends with its connection.
func clean(version byte, id string) raw.Connect {
	return raw.Connect{Version: version, ID: id, Clean: true}
}

// persistent returns a CONNECT that resumes its session, which outlives the connection.
func persistent(version byte, id string) raw.Connect {
	k := raw.Connect{Version: version, ID: id}
	if version >= raw.V5 {
		k.Props = raw.Props{raw.Num(raw.SessionExpiry, 600)}
	}
	return k
}

// fences numbers the topics of fence.
var fences atomic.Int64

// collect returns the messages on their way to sub from all that pub has sent until now.
func collect(t *testing.T, pub, sub *raw.Client) (messages []*raw.Received) {
	t.Helper()
	topic := "fence/" + strconv.FormatInt(fences.Add(1), 10)
	id := sub.PacketID()
	sub.Send(raw.Subscribe{ID: id, Filters: []raw.Filter{{Name: topic}}}.Bytes(sub.Version))
	for seen := false; ; {
		switch p, err := sub.Read(); {
		case err != nil:
			t.Fatalf("%s: %v after %v", sub.ID, err, messages)
		case p.Type == raw.SUBACK:
			pub.Send(raw.Publish{Topic: topic}.Bytes(pub.Version))
		case p.Type == raw.UNSUBACK:
			return messages
		case p.Type == raw.PUBLISH && p.Topic == topic: // twice, if a wider subscription matches too
			if !seen {
				sub.Send(raw.Unsubscribe{ID: id, Filters: []string{topic}}.Bytes(sub.Version))
			}
			seen = true
		case p.Type == raw.PUBLISH:
			messages = append(messages, p)
		default:
			t.Fatalf("%s: got %v", sub.ID, p)
		}
	}
}

// fence checks that nothing pub has sent until now is on its way to sub.
func fence(t *testing.T, pub, sub *raw.Client) {
	t.Helper()
	if m := collect(t, pub, sub); len(m) > 0 {
		t.Fatalf("%s: got %v, want nothing", sub.ID, m)
	}
}

// names are the versions' names in subtests.
var names = map[byte]string{raw.V31: "3.1", raw.V311: "3.1.1", raw.V5: "5.0"}

// versions runs a test for each protocol version with a broker of its own, and again over connections that the broker
// cannot poll.
func versions(t *testing.T, test func(t *testing.T, s *server, version byte)) {
	t.Helper()
	for _, v := range []byte{raw.V31, raw.V311, raw.V5} {
		t.Run(names[v], func(t *testing.T) { test(t, start(t), v) })
	}
	if peer != "" {
		return
	}
	t.Run("5.0 on a plain connection", func(t *testing.T) {
		s := start(t)
		s.addr = s.plain
		test(t, s, raw.V5)
	})
}

// pass waits for d, for tests of elapsed time only.
func pass(d time.Duration) { <-time.After(d) }

// must fails the test unless got equals want.
func must[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

// isEOF reports whether the server has closed the connection.
func isEOF(err error) bool { return errors.Is(err, io.EOF) }

// ptr returns a pointer to v, for optional fields.
func ptr[T any](v T) *T { return &v }
