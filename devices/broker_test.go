package devices_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/hooks/anonymous"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// startBroker starts a broker for the test and returns its URL. Nothing is retained.
func startBroker(t *testing.T) string {
	t.Helper()
	b, err := broker.New(broker.Options{Hooks: []any{anonymous.Authenticator{}}})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		if err := b.Run(context.Background()); err != nil {
			t.Error("broker:", err)
		}
	})
	running.Go(func() { accept(l, b) })
	t.Cleanup(func() {
		l.Close()
		ctx, cancel := context.WithTimeout(context.Background(), waitLimit)
		defer cancel()
		if err := b.Shutdown(ctx); err != nil {
			t.Error("broker:", err)
		}
		running.Wait()
	})
	return "mqtt://" + l.Addr().String()
}

func accept(l net.Listener, b *broker.Broker) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		_ = b.Attach(broker.Conn{Conn: conn, Listener: "tcp"})
	}
}

// waitLimit bounds every wait of a test.
const waitLimit = 60 * time.Second

// eventually waits for a condition.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(waitLimit)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatal("this did not come: ", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// message is a message received by a watcher.
type message struct {
	topic    string
	payload  []byte
	retained bool
}

var subscribers atomic.Int64

// subscribe subscribes to filter and returns the collector of its messages.
func subscribe(t *testing.T, broker, filter string) *subscriber {
	t.Helper()
	w := &subscriber{newest: map[string]message{}}
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker(broker).SetClientID(fmt.Sprintf("watcher-%d", subscribers.Add(1))))
	if tok := c.Connect(); tok.Wait() && tok.Error() != nil {
		t.Fatal(tok.Error())
	}
	t.Cleanup(func() { c.Disconnect(100) })
	if tok := c.Subscribe(filter, 1, w.take); tok.Wait() && tok.Error() != nil {
		t.Fatal(tok.Error())
	}
	return w
}

// subscriber keeps the received messages.
type subscriber struct {
	mu     sync.Mutex
	all    []message
	newest map[string]message // by topic
}

func (w *subscriber) take(_ mqtt.Client, m mqtt.Message) {
	w.mu.Lock()
	defer w.mu.Unlock()
	got := message{m.Topic(), m.Payload(), m.Retained()}
	w.all = append(w.all, got)
	w.newest[m.Topic()] = got
}

func (w *subscriber) messages() []message {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]message(nil), w.all...)
}

func (w *subscriber) topics() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.newest)
}

func (w *subscriber) payload(topic string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.newest[topic].payload)
}

// run runs a fleet until the test ends or stop is called. stop waits for the fleet's end.
func run(t *testing.T, f interface{ Run(context.Context) error }) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Error("Run:", err)
			}
		case <-time.After(waitLimit):
			t.Error("Run does not end")
		}
	})
	t.Cleanup(stop)
	return stop
}

// testProxy forwards TCP connections to a broker, and can be cut and mended. It keeps its port open meanwhile, so that
// nobody else takes it.
type testProxy struct {
	broker   string // host:port
	url      string
	listener net.Listener
	wg       sync.WaitGroup

	mu    sync.Mutex // guards the fields below
	open  bool
	conns []net.Conn
}

func newTestProxy(t *testing.T, broker string) *testProxy {
	t.Helper()
	u, err := url.Parse(broker)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &testProxy{broker: u.Host, url: "mqtt://" + l.Addr().String(), listener: l, open: true}
	c.wg.Go(c.accept)
	t.Cleanup(func() {
		l.Close()
		c.cut()
		c.wg.Wait()
	})
	return c
}

func (c *testProxy) accept() {
	for {
		conn, err := c.listener.Accept()
		if err != nil {
			return
		}
		c.join(conn)
	}
}

func (c *testProxy) join(in net.Conn) {
	out, err := net.Dial("tcp", c.broker)
	if err != nil {
		in.Close()
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.open {
		in.Close()
		out.Close()
		return
	}
	c.conns = append(c.conns, in, out)
	for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
		c.wg.Go(func() {
			io.Copy(pair[0], pair[1])
			pair[0].Close()
		})
	}
}

// cut closes all connections, and later ones at once.
func (c *testProxy) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open = false
	for _, conn := range c.conns {
		conn.Close()
	}
	c.conns = nil
}

func (c *testProxy) restore() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open = true
}
