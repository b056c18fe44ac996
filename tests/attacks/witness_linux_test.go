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

// witness is a real client: it publishes with QoS 1 to itself, and every message must be acknowledged and come back
// once, in order.
type witness struct {
	name    string
	conn    net.Conn
	r       *bufio.Reader
	round   int
	slowest time.Duration // round
}

// pace is the time between two rounds of a witness.
const pace = 50 * time.Millisecond

// dial opens a connection that carries MQTT.
func (s *server) dial(listener string) (net.Conn, error) {
	if listener != "ws" {
		return net.DialTimeout("tcp", s.Address(listener), patience)
	}
	d := websocket.Dialer{Subprotocols: []string{"mqtt"}, HandshakeTimeout: patience}
	ws, _, err := d.Dial("ws://"+s.Address("ws")+"/mqtt", nil)
	if err != nil {
		return nil, err
	}
	return raw.NewFrames(ws.NetConn()), nil
}

// newWitness connects and subscribes. password may be empty.
func (s *server) newWitness(name, listener, password string) (*witness, error) {
	conn, err := s.dial(listener)
	if err != nil {
		return nil, err
	}
	w := &witness{name: name, conn: conn, r: bufio.NewReader(conn)}
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

func (w *witness) begin(k raw.Connect) error {
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

func (w *witness) topic() string { return "witness/" + w.name }

// exchange sends a packet and reads the one that answers it.
func (w *witness) exchange(packet []byte, t raw.Type) (*raw.Received, error) {
	_ = w.conn.SetDeadline(time.Now().Add(patience))
	if _, err := w.conn.Write(packet); err != nil {
		return nil, err
	}
	p, err := raw.ReadPacket(w.r, raw.V5)
	if err == nil && (p.Type != t || p.Code >= 0x80) {
		err = fmt.Errorf("got %v", p)
	}
	return p, err
}

// turn publishes a message and waits for its acknowledgement and its return.
func (w *witness) turn() error {
	w.round++
	began, text := time.Now(), strconv.Itoa(w.round)
	out := raw.Publish{Topic: w.topic(), Payload: text, QoS: 1, ID: 1 + w.round%60000}
	_ = w.conn.SetDeadline(began.Add(patience))
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

// witnesses are clients that work until they are told to stop.
type witnesses struct {
	t    *testing.T
	all  []*witness
	quit chan struct{}
	done sync.WaitGroup
}

// witnesses connects n clients by each of the listeners and has them work.
func (s *server) witnesses(n int, password string, listeners ...string) *witnesses {
	s.t.Helper()
	ws := &witnesses{t: s.t, quit: make(chan struct{})}
	for _, listener := range listeners {
		for i := range n {
			w, err := s.newWitness(fmt.Sprint("witness-", listener, "-", i), listener, password)
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

func (ws *witnesses) work(w *witness) {
	again := time.NewTicker(pace)
	defer again.Stop()
	for {
		if err := w.turn(); err != nil {
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

// finish ends their work: all that they sent must have come.
func (ws *witnesses) finish() {
	ws.t.Helper()
	close(ws.quit)
	ws.done.Wait()
	rounds, slowest := 0, time.Duration(0)
	for _, w := range ws.all {
		rounds, slowest = rounds+w.round, max(slowest, w.slowest)
	}
	ws.t.Logf("%d witnesses did %d rounds, nothing was lost; the slowest took %v", len(ws.all), rounds, slowest.Round(time.Millisecond))
}

// newcomers has n clients connect by each listener, work, and go.
func (s *server) newcomers(n int, password string, listeners ...string) {
	s.t.Helper()
	for i := range n {
		for _, listener := range listeners {
			w, err := s.newWitness(fmt.Sprint("newcomer-", listener, "-", i), listener, password)
			if err != nil {
				s.t.Fatalf("a client did not get in: %v", err)
			}
			if err := w.turn(); err != nil {
				s.t.Fatalf("%s: %v", w.name, err)
			}
			w.conn.Close()
		}
	}
}
