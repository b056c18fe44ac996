package broker_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// mirror is a client that keeps the newest value of each topic. Its socket holds little.
type mirror struct {
	*raw.Client
	conn     net.Conn
	s        *server
	filter   string
	qos      byte
	rate     string            // max_rate; empty: none
	values   map[string]string // by topic
	received int
}

func (s *server) mirror(filter string, qos byte, rate string) *mirror {
	m := &mirror{s: s, filter: filter, qos: qos, rate: rate, values: map[string]string{}}
	m.come()
	sub := raw.Subscribe{ID: 1, Filters: []raw.Filter{{Name: filter, Options: qos}}}
	if rate != "" {
		sub.Props = raw.Props{raw.User("max_rate", rate)}
	}
	m.Send(sub.Bytes(raw.V5))
	m.ExpectAck(raw.SUBACK, 1)
	return m
}

// come connects; the session is there, or made.
func (m *mirror) come() {
	m.conn = m.s.narrow(m.s.tcp)
	m.Client = raw.New(m.s.t, m.conn, raw.V5)
	m.Connect(v5Durable("mirror"))
}

// sync takes what has been sent until now. It returns false if the connection has ended.
func (m *mirror) sync() bool {
	if m.TrySend(raw.Plain(raw.PINGREQ)) != nil {
		return false
	}
	for {
		p, err := m.Read()
		if err != nil || p.Type == raw.DISCONNECT {
			return false
		}
		switch p.Type {
		case raw.PINGRESP:
			return true
		case raw.PUBREL:
			_ = m.TrySend(raw.Ack(raw.PUBCOMP, p.ID))
		case raw.PUBLISH:
			m.take(p)
		}
	}
}

func (m *mirror) take(p *raw.Received) {
	m.received++
	if m.values[p.Topic] = p.Payload; p.Payload == "" {
		delete(m.values, p.Topic)
	}
	if p.QoS > 0 {
		_ = m.TrySend(raw.Ack([]raw.Type{raw.PUBACK, raw.PUBREC}[p.QoS-1], p.ID))
	}
}

// expect waits until the values are those that are retained.
func (m *mirror) expect(want map[string]string) {
	m.s.t.Helper()
	for end := time.Now().Add(raw.Patience); ; time.Sleep(time.Millisecond) {
		if !m.sync() {
			m.Close()
			m.come()
		}
		if maps.Equal(m.values, want) {
			return
		}
		if time.Now().After(end) {
			m.s.t.Fatalf("of %d retained values: %s", len(want), m.differs(want))
		}
	}
}

func (m *mirror) differs(want map[string]string) string {
	missing, old, removed := 0, 0, 0
	for topic, v := range want {
		if got, found := m.values[topic]; !found {
			missing++
		} else if got != v {
			old++
		}
	}
	for topic := range m.values {
		if _, found := want[topic]; !found {
			removed++
		}
	}
	return fmt.Sprintf("%d are missing, %d are not the newest, and %d more are there", missing, old, removed)
}

// bulk makes a value large enough for sockets to be full soon.
var bulk = strings.Repeat("x", 2000)

// publishAll publishes a value to each topic, and notes what is retained.
func publishAll(pub *raw.Client, retained map[string]string, word string, from, to int, qos byte) {
	for i := from; i < to; i++ {
		topic := fmt.Sprint("t/", i)
		retained[topic] = word + bulk
		pub.Publish(raw.Publish{Topic: topic, Payload: word + bulk, QoS: qos, Retain: true})
	}
	pub.ExpectNothing()
}

// TestReplayLeavesNoHoles has topics change while a slow client is being sent what is retained, with every way in which messages
// for it are dropped.
func TestReplayLeavesNoHoles(t *testing.T) {
	t.Parallel()
	for name, k := range map[string]struct {
		policy   broker.QueuePolicy
		overflow broker.OverflowPolicy
		qos      byte
		rate     string
	}{
		"drop-oldest":       {policy: broker.DropOldest},
		"conflate":          {policy: broker.Conflate},
		"maximum rate":      {rate: "100"},
		"queue drop-newest": {qos: 1, overflow: broker.OverflowDropNewest},
		"queue drop-oldest": {qos: 2, overflow: broker.OverflowDropOldest},
		"queue disconnect":  {qos: 1, overflow: broker.OverflowDisconnect},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const topics = 1000
			limits := broker.Limits{MaxParkedMessages: 50, MaxQueuedMessages: 50, MaxInflight: 10, Overflow: k.overflow}
			s := start(t, broker.Options{Hooks: []any{policy(k.policy)}, Limits: limits})
			pub, retained := s.connect(raw.Connect{Version: raw.V5, ID: "pub", Clean: true}), map[string]string{}
			publishAll(pub, retained, "old", 0, topics, k.qos)
			m := s.mirror("t/#", k.qos, k.rate)
			s.eventually("held up", func(st broker.Stats) bool { return st.Parked == 1 || st.Inflight == 10 })
			publishAll(pub, retained, "new", topics/2, topics, k.qos)
			publishAll(pub, retained, "more", topics, topics+60, k.qos)
			if st := s.Stats(); st.Dropped["parked_full"]+st.Dropped["queue_full"] == 0 {
				t.Fatal("nothing was dropped")
			}
			m.expect(retained)
		})
	}
}

// TestMissedRemovalsKeepNoProperties has a client that does not read miss removals with large properties.
func TestMissedRemovalsKeepNoProperties(t *testing.T) {
	t.Parallel()
	const removals = 100
	s := start(t, broker.Options{Shards: 1, Limits: broker.Limits{MaxParkedBytes: 64 << 10}})
	slow, _ := s.slow(raw.Connect{Version: raw.V5, ID: "slow", Clean: true})
	slow.Subscribe(0, "#")
	publish := func(topic, payload string, props broker.UserProperty) {
		m := broker.Message{Topic: topic, Payload: []byte(payload), Retain: payload == "", UserProperties: []broker.UserProperty{props, props}}
		if err := s.Publish(m); err != nil {
			t.Fatal(err)
		}
	}
	for fill := strings.Repeat("x", 500_000); s.Stats().Parked == 0; {
		publish("fill", fill, broker.UserProperty{})
	}
	long := broker.UserProperty{Name: "k", Value: strings.Repeat("v", 60_000)}
	for i := range removals {
		publish(fmt.Sprint("r/", i), "", long)
	}
	if n := s.MissedBytes(); n > removals*1000 {
		t.Errorf("missed removals take %d bytes", n)
	}
	for n := 0; n < removals; {
		if got := slow.Expect(raw.PUBLISH); got.Topic != "fill" {
			if n++; got.Payload != "" || len(got.Props) != 0 {
				t.Fatalf("got %.100v, want an empty message without properties", got)
			}
		}
	}
}

// TestMissedWhileAway has retained messages change while a session is away: those that it gets with QoS 0, or that its queue has
// no room for, come when it is back, also from a broker that was started again.
func TestMissedWhileAway(t *testing.T) {
	t.Parallel()
	for qos := range byte(3) {
		for _, restarts := range []bool{false, true} {
			t.Run(fmt.Sprintf("QoS %d, restart %t", qos, restarts), func(t *testing.T) {
				t.Parallel()
				store, limits := newMemoryStore(), broker.Limits{MaxQueuedMessages: 5}
				s := start(t, broker.Options{Store: store, Limits: limits})
				pub, retained := s.connect(raw.Connect{Version: raw.V5, ID: "pub", Clean: true}), map[string]string{}
				publishAll(pub, retained, "old", 0, 40, qos)
				m := s.mirror("#", qos, "")
				m.expect(retained)
				m.Close()
				s.eventually("away", func(st broker.Stats) bool { return st.SessionsOffline == 1 })
				publishAll(pub, retained, "new", 20, 40, qos)
				if restarts {
					m.s = s.restart(store, limits)
				}
				before := m.received
				m.come()
				m.expect(retained)
				m.sync()
				if n := m.received - before; !restarts && n > 20 {
					t.Errorf("%d messages came, want 20: those that have changed", n)
				}
			})
		}
	}
}

// restart ends a broker in good order and starts another on what it has stored.
func (s *server) restart(store *memoryStore, l broker.Limits) *server {
	s.t.Helper()
	if err := s.Shutdown(context.Background()); err != nil {
		s.t.Fatal(err)
	}
	return start(s.t, broker.Options{Store: store.copied(), Limits: l})
}

// TestMissedAtRandom plays random sequences and holds that whatever was dropped, a client ends with what is retained.
func TestMissedAtRandom(t *testing.T) {
	t.Parallel()
	for range 12 {
		seed := rand.Uint64()
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			playMissed(t, rand.New(rand.NewPCG(seed, 0)))
		})
	}
}

func playMissed(t *testing.T, r *rand.Rand) {
	least := byte(r.IntN(2))
	limits := broker.Limits{
		MaxParkedMessages: 1 + r.IntN(40), MaxQueuedMessages: 1 + r.IntN(40), MaxInflight: 1 + r.IntN(10),
		MaxQueuedMessagesTotal: 1 + r.IntN(60), Overflow: broker.OverflowPolicy(r.IntN(2 + int(least))),
	}
	s := start(t, broker.Options{Store: newMemoryStore(), Hooks: []any{policy(r.IntN(2))}, Limits: limits})
	pub := s.connect(raw.Connect{Version: raw.V5, ID: "pub", Clean: true})
	topics, retained := 20+r.IntN(300), map[string]string{}
	change := func(n int) { // with one QoS for each topic: only messages of one QoS keep their order
		for range n {
			i := r.IntN(topics)
			topic, payload := fmt.Sprint("t/", i), fmt.Sprint(r.Uint64(), bulk)
			if r.IntN(12) == 0 && retained[topic] != "" && least == 0 {
				delete(retained, topic) // is told to who is there; one that is away does not hear of it
				payload = ""
			} else {
				retained[topic] = payload
			}
			pub.Publish(raw.Publish{Topic: topic, Payload: payload, QoS: max(least, byte(i%3)), Retain: true})
		}
	}
	change(topics)
	m := s.mirror("t/#", max(least, byte(r.IntN(3))), []string{"", "", "50"}[r.IntN(3-2*int(least))])
	for range 10 {
		switch r.IntN(4) {
		case 0, 1:
			change(r.IntN(200))
		case 2:
			m.expect(retained)
		case 3:
			if least == 0 || m.qos == 0 || m.rate != "" { // what is in a socket with QoS 0 is lost with it
				break
			}
			m.Close()
			change(r.IntN(200))
			m.come()
		}
	}
	m.expect(retained)
}

// TestReplayCutOff has a replay with QoS 0 end with its connection, or with the broker. It goes on when the client is back: of a
// connection that ends only what the broker has encoded and not written yet may be missing.
func TestReplayCutOff(t *testing.T) {
	t.Parallel()
	for _, crashes := range []bool{false, true} {
		t.Run(fmt.Sprint("crash ", crashes), func(t *testing.T) {
			t.Parallel()
			const topics = 3000 // more than a socket holds
			store, least := newMemoryStore(), topics
			s := start(t, broker.Options{Store: store})
			pub, retained := s.connect(raw.Connect{Version: raw.V5, ID: "pub", Clean: true}), map[string]string{}
			publishAll(pub, retained, "v", 0, topics, 1)
			m := s.mirror("t/#", 0, "")
			s.eventually("held up", func(st broker.Stats) bool { return st.Parked == 1 })
			if crashes {
				m.s, _ = s.crash(store)
			} else {
				least -= 100
				m.readOut()
			}
			if before := len(m.values); before == topics {
				t.Fatal("all came before the connection ended")
			}
			m.come()
			for end := time.Now().Add(raw.Patience); len(m.values) < least && m.sync(); {
				if time.Now().After(end) {
					t.Fatalf("%d of %d topics came", len(m.values), topics)
				}
			}
		})
	}
}

// readOut ends the connection and takes what its socket still has.
func (m *mirror) readOut() {
	_ = m.conn.(*net.TCPConn).CloseWrite()
	for {
		p, err := m.Read()
		if err != nil {
			return
		}
		if p.Type == raw.PUBLISH {
			m.take(p)
		}
	}
}
