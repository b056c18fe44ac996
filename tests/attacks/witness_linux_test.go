package attacks_test

import (
	"bufio"
	"fmt"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// honestClient is an honest client: it publishes with QoS 1 to itself, and every message must be acknowledged and
// delivered once, in order.
type honestClient struct {
	name    string
	conn    net.Conn
	r       *bufio.Reader
	round   int
	slowest time.Duration // longest round trip
}

// pace is the interval between two rounds of a witness.
const pace = 50 * time.Millisecond

// dial opens an MQTT connection.
func (s *server) dial(listener string) (net.Conn, error) {
	if listener != "ws" {
		return net.DialTimeout("tcp", s.Address(listener), waitLimit)
	}
	d := websocket.Dialer{Subprotocols: []string{"mqtt"}, HandshakeTimeout: waitLimit}
	ws, _, err := d.Dial("ws://"+s.Address("ws")+"/mqtt", nil)
	if err != nil {
		return nil, err
	}
	return raw.NewFrames(ws.NetConn()), nil
}

// newHonestClient connects and subscribes. password may be empty.
func (s *server) newHonestClient(name, listener, password string) (*honestClient, error) {
	conn, err := s.dial(listener)
	if err != nil {
		return nil, err
	}
	w := &honestClient{name: name, conn: conn, r: bufio.NewReader(conn)}
	k := raw.Connect{Version: raw.V5, ID: name, Clean: true, KeepAlive: 600}
	if password != "" {
		k.Password = &password
	}
	if err := w.begin(k); err != nil {
		conn.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return w, nil
}

func (w *honestClient) begin(k raw.Connect) error {
	if _, err := w.exchange(k.Bytes(), raw.CONNACK); err != nil {
		return err
	}
	sub := raw.Subscribe{ID: 1, Filters: []raw.Filter{{Name: w.topic(), Options: 1}}}
	p, err := w.exchange(sub.Bytes(raw.V5), raw.SUBACK)
	if err == nil && p.Codes[0] != 1 {
		err = fmt.Errorf("subscribing was answered by %v", p)
	}
	return err
}

func (w *honestClient) topic() string { return "witness/" + w.name }

// exchange sends a packet and reads its answer.
func (w *honestClient) exchange(packet []byte, t raw.Type) (*raw.Received, error) {
	_ = w.conn.SetDeadline(time.Now().Add(waitLimit))
	if _, err := w.conn.Write(packet); err != nil {
		return nil, err
	}
	p, err := raw.ReadPacket(w.r, raw.V5)
	if err == nil && (p.Type != t || p.Code >= 0x80) {
		err = fmt.Errorf("got %v", p)
	}
	return p, err
}

// roundTrip publishes a message and waits for its acknowledgement and its delivery.
func (w *honestClient) roundTrip() error {
	w.round++
	began, text := time.Now(), strconv.Itoa(w.round)
	out := raw.Publish{Topic: w.topic(), Payload: text, QoS: 1, ID: 1 + w.round%60000}
	_ = w.conn.SetDeadline(began.Add(waitLimit))
	if _, err := w.conn.Write(out.Bytes(raw.V5)); err != nil {
		return err
	}
	for acked, back := false, false; !acked || !back; {
		p, err := raw.ReadPacket(w.r, raw.V5)
		switch {
		case err != nil:
			return err
		case p.Type == raw.PUBACK && p.ID == out.ID && p.Code == 0 && !acked:
			acked = true
		case p.Type == raw.PUBLISH && p.Payload == text && !back:
			back = true
			if _, err := w.conn.Write(raw.Ack(raw.PUBACK, p.ID)); err != nil {
				return err
			}
		default:
			return fmt.Errorf("in round %d got %v", w.round, p)
		}
	}
	w.slowest = max(w.slowest, time.Since(began))
	return nil
}

// honestClients are clients that work until they are stopped.
type honestClients struct {
	t    *testing.T
	all  []*honestClient
	quit chan struct{}
	done sync.WaitGroup
}

// honestClients connects n clients by each of the listeners and lets them work.
func (s *server) honestClients(n int, password string, listeners ...string) *honestClients {
	s.t.Helper()
	ws := &honestClients{t: s.t, quit: make(chan struct{})}
	for _, listener := range listeners {
		for i := range n {
			w, err := s.newHonestClient(fmt.Sprint("witness-", listener, "-", i), listener, password)
			if err != nil {
				s.t.Fatal(err)
			}
			ws.all = append(ws.all, w)
		}
	}
	for _, w := range ws.all {
		ws.done.Go(func() { ws.work(w) })
	}
	s.t.Cleanup(func() {
		for _, w := range ws.all {
			w.conn.Close()
		}
		ws.done.Wait()
	})
	return ws
}

func (ws *honestClients) work(w *honestClient) {
	again := time.NewTicker(pace)
	defer again.Stop()
	for {
		if err := w.roundTrip(); err != nil {
			ws.t.Errorf("%s was disturbed: %v", w.name, err)
			return
		}
		select {
		case <-again.C:
		case <-ws.quit:
			return
		}
	}
}

// finish stops the clients: all their messages must have been delivered.
func (ws *honestClients) finish() {
	ws.t.Helper()
	close(ws.quit)
	ws.done.Wait()
	rounds, slowest := 0, time.Duration(0)
	for _, w := range ws.all {
		rounds, slowest = rounds+w.round, max(slowest, w.slowest)
	}
	ws.t.Logf("%d witnesses did %d rounds, nothing was lost; the slowest took %v", len(ws.all), rounds, slowest.Round(time.Millisecond))
}

// newcomers connects n clients by each listener; they work and disconnect.
func (s *server) newcomers(n int, password string, listeners ...string) {
	s.t.Helper()
	for i := range n {
		for _, listener := range listeners {
			w, err := s.newHonestClient(fmt.Sprint("newcomer-", listener, "-", i), listener, password)
			if err != nil {
				s.t.Fatalf("a client did not get in: %v", err)
			}
			if err := w.roundTrip(); err != nil {
				s.t.Fatalf("%s: %v", w.name, err)
			}
			w.conn.Close()
		}
	}
}
