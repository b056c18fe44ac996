package attacks_test

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// longestWait bounds a probe's wait for an answer.
const longestWait = 20 * time.Second

// probe repeats a request of an honest client and records the longest response time.
type probe struct {
	name  string
	turn  func(*probe) error
	turns atomic.Int64
	worst atomic.Int64 // nanoseconds since the last reset
}

// wait measures one request. An error describes the missing answer.
func (p *probe) wait(request func() error) error {
	began := time.Now()
	err := request()
	if took := int64(time.Since(began)); took > p.worst.Load() {
		p.worst.Store(took)
	}
	return err
}

// probes are the honest clients of one broker.
type probes struct {
	t    *testing.T
	s    *server
	all  []*probe
	quit chan struct{}
	done sync.WaitGroup
	once sync.Once // for stop

	mu     sync.Mutex
	conns  []net.Conn
	failed []string // failed requests
}

// The retained message requested by newcomers.
const retainedTopic = "sensors/vic/retained"

// probes connects honest clients that work until the test ends. There are two of each kind, one on each shard.
func (s *server) probes(t *testing.T, listeners ...string) *probes {
	ps := &probes{t: t, s: s, quit: make(chan struct{})}
	t.Cleanup(ps.stop)
	for i := range 2 {
		for _, listener := range listeners {
			for qos := range byte(2) {
				c := ps.client(fmt.Sprintf("%s-%d-%d", listener, qos, i), listener, 0)
				ps.pair(fmt.Sprintf("QoS %d over %s", qos, listener), qos, c, c)
			}
			ps.add("newcomer over "+listener, ps.newcomer(fmt.Sprintf("newcomer-%s-%d", listener, i), listener))
		}
		from, to := ps.client(fmt.Sprint("durable-from-", i), listeners[0], 3600), ps.client(fmt.Sprint("durable-to-", i), listeners[0], 3600)
		ps.pair("durable QoS 1", 1, from, to)
	}
	keeper := ps.client("keeper", listeners[0], 0)
	keep := raw.Publish{Topic: retainedTopic, Payload: "kept", QoS: 1, ID: 1, Retain: true}
	if _, err := keeper.exchange(keep.Bytes(raw.V5), raw.PUBACK); err != nil {
		t.Fatal(err)
	}
	for _, p := range ps.all {
		ps.done.Go(func() { ps.work(p) })
	}
	ps.waitTurns()
	ps.reset()
	return ps
}

func (ps *probes) add(name string, turn func(*probe) error) {
	ps.all = append(ps.all, &probe{name: name, turn: turn})
}

// client connects an honest client, which must succeed.
func (ps *probes) client(name, listener string, expiry int) *honestClient {
	ps.t.Helper()
	w, err := ps.connect(name, listener, expiry)
	if err != nil {
		ps.t.Fatal(name, ": ", err)
	}
	ps.conns = append(ps.conns, w.conn)
	return w
}

func (ps *probes) connect(name, listener string, expiry int) (*honestClient, error) {
	conn, err := ps.s.dialFrom(nil, listener)
	if err != nil {
		return nil, err
	}
	w := &honestClient{name: name, conn: conn, r: bufio.NewReader(conn)}
	if _, err := w.exchange(ps.s.connectAs("vic", name, expiry).Bytes(), raw.CONNACK); err != nil {
		conn.Close()
		return nil, err
	}
	return w, nil
}

// pair adds a probe that sends messages between two clients, perhaps the same.
func (ps *probes) pair(name string, qos byte, from, to *honestClient) {
	ps.t.Helper()
	topic := "sensors/vic/" + to.name
	sub := raw.Subscribe{ID: 1, Filters: []raw.Filter{{Name: topic, Options: qos}}}
	if _, err := to.exchange(sub.Bytes(raw.V5), raw.SUBACK); err != nil {
		ps.t.Fatal(err)
	}
	ps.add(name, func(p *probe) error {
		return p.wait(func() error { return roundTrip(qos, topic, int(p.turns.Load()), from, to) })
	})
}

// roundTrip publishes a message and waits for its acknowledgement and its delivery.
func roundTrip(qos byte, topic string, n int, from, to *honestClient) error {
	id, text := 1+n%60000, fmt.Sprint(n)
	out := raw.Publish{Topic: topic, Payload: text, QoS: qos}
	if qos > 0 {
		out.ID = id
	}
	for _, w := range []*honestClient{from, to} {
		_ = w.conn.SetDeadline(time.Now().Add(longestWait))
	}
	if _, err := from.conn.Write(out.Bytes(raw.V5)); err != nil {
		return err
	}
	acked, back := qos == 0, false
	for !acked || !back {
		w := to
		if !acked {
			w = from
		}
		p, err := raw.ReadPacket(w.r, raw.V5)
		switch {
		case err != nil:
			return err
		case p.Type == raw.PUBACK && p.ID == id && p.Code == 0 && !acked:
			acked = true
		case p.Type == raw.PUBLISH && p.Payload == text && !back:
			back = true
			if qos > 0 {
				if _, err := w.conn.Write(raw.Ack(raw.PUBACK, p.ID)); err != nil {
					return err
				}
			}
		default:
			return fmt.Errorf("in round %d got %v", n, p)
		}
	}
	return nil
}

// newcomer connects, subscribes to a topic with a retained message, and disconnects.
func (ps *probes) newcomer(name, listener string) func(*probe) error {
	sub := raw.Subscribe{ID: 1, Filters: []raw.Filter{{Name: retainedTopic}}}
	return func(p *probe) error {
		var w *honestClient
		if err := p.wait(func() (err error) { w, err = ps.connect(name, listener, 0); return err }); err != nil {
			return err
		}
		defer w.conn.Close()
		err := p.wait(func() error {
			if _, err := w.exchange(sub.Bytes(raw.V5), raw.SUBACK); err != nil {
				return err
			}
			p, err := raw.ReadPacket(w.r, raw.V5)
			if err == nil && p.Payload != "kept" {
				err = fmt.Errorf("got %v", p)
			}
			return err
		})
		_, _ = w.conn.Write(raw.Disconnect(0)) // frequent unclean disconnects are held off
		return err
	}
}

// work repeats the request until the test ends or it fails.
func (ps *probes) work(p *probe) {
	again := time.NewTicker(pace / 2)
	defer again.Stop()
	for {
		if err := p.turn(p); err != nil {
			select {
			case <-ps.quit:
			default:
				ps.fail(p.name + ": " + err.Error())
			}
			return
		}
		p.turns.Add(1)
		select {
		case <-again.C:
		case <-ps.quit:
			return
		}
	}
}

func (ps *probes) fail(trouble string) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.failed = append(ps.failed, trouble)
}

// failures returns the honest clients' failures; "": none.
func (ps *probes) failures() string {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	return strings.Join(ps.failed, "; ")
}

// stop ends all work.
func (ps *probes) stop() {
	ps.once.Do(func() {
		close(ps.quit)
		for _, conn := range ps.conns {
			conn.Close()
		}
		ps.done.Wait()
	})
}

// waitTurns waits until each probe has finished its current turn and another one.
func (ps *probes) waitTurns() {
	want := make([]int64, len(ps.all))
	for i, p := range ps.all {
		want[i] = p.turns.Load() + 2
	}
	for i, p := range ps.all {
		for p.turns.Load() < want[i] && ps.failures() == "" {
			time.Sleep(time.Millisecond)
		}
	}
}

func (ps *probes) reset() {
	for _, p := range ps.all {
		p.worst.Store(0)
	}
}

// worst returns the longest response time since the reset, and its probe.
func (ps *probes) worst() (wait time.Duration, name string) {
	for _, p := range ps.all {
		if w := time.Duration(p.worst.Load()); w > wait {
			wait, name = w, p.name
		}
	}
	return wait, name
}
