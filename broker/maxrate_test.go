package broker_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// subscribeAt subscribes with a maximum rate and returns the reason codes.
func subscribeAt(c *raw.Client, rate string, options byte, filters ...string) []byte {
	s := raw.Subscribe{ID: c.PacketID(), Props: raw.Props{raw.User("max_rate", rate)}}
	for _, f := range filters {
		s.Filters = append(s.Filters, raw.Filter{Name: f, Options: options})
	}
	c.Send(s.Bytes(c.Version))
	return c.ExpectAck(raw.SUBACK, s.ID).Codes
}

// rateLimit grants every subscription so many messages a second of each topic, 0: as many as there are.
type rateLimit struct{ rate atomic.Int64 }

func (*rateLimit) Authorize(*broker.Client, broker.Action, string) bool { return true }

func (r *rateLimit) Grant(*broker.Client, broker.Action, string) broker.Grant {
	return broker.Grant{Allowed: true, MaxQoS: 2, Retain: true, MaxRate: float64(r.rate.Load())}
}

// publishRounds publishes count messages of each of the topics.
func publishRounds(p *raw.Client, count int, topics ...string) {
	for i := range count {
		for _, name := range topics {
			p.Publish(raw.Publish{Topic: name, QoS: byte(i % 2), Payload: fmt.Sprint(i)})
		}
	}
}

// readRounds reads until the reader has the last message of all topics. It returns how many that were, and fails if a
// topic's were not in order.
func readRounds(t *testing.T, reader *raw.Client, count int, topics ...string) int {
	t.Helper()
	last, total := map[string]int{}, 0
	for done := 0; done < len(topics); total++ {
		m := reader.Expect(raw.PUBLISH)
		n := roundOf(t, m)
		if before, seen := last[m.Topic]; seen && n <= before {
			t.Fatalf("%s: %d after %d", m.Topic, n, before)
		}
		last[m.Topic] = n
		if n == count-1 {
			done++
		}
	}
	return total
}

func TestMaxRate(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{})
	reader := s.connect(raw.Connect{Version: raw.V5, ID: "reader", Clean: true})
	all := s.connect(raw.Connect{Version: raw.V5, ID: "all", Clean: true})
	p := s.connect(raw.Connect{Version: raw.V5, ID: "publisher", Clean: true})
	if codes := subscribeAt(reader, "4", 1, "ticker/#"); codes[0] != 0 {
		t.Fatalf("SUBACK %v; a subscription with a maximum rate has QoS 0", codes)
	}
	all.Subscribe(0, "ticker/#")

	const rounds = 200
	began := time.Now()
	publishRounds(p, rounds, "ticker/a", "ticker/b")
	got := readRounds(t, reader, rounds, "ticker/a", "ticker/b")
	most := 2 * (2 + int(time.Since(began)/(250*time.Millisecond)))
	if got < 4 || got > most {
		t.Errorf("%d messages of two topics at 4 a second, want 4 (the first and the last of each) to %d", got, most)
	}
	if n := readRounds(t, all, rounds, "ticker/a", "ticker/b"); n != 2*rounds {
		t.Errorf("without a maximum rate %d messages, want %d", n, 2*rounds)
	}
	if st := s.Stats(); st.Dropped["max_rate"] == 0 {
		t.Errorf("what was not sent is not counted: %v", st.Dropped)
	}
}

// TestMaxRateOfARule has the rule limit what the client asks for, and a rule that changes limit who is there.
func TestMaxRateOfARule(t *testing.T) {
	t.Parallel()
	rule := new(rateLimit)
	s := start(t, broker.Options{Hooks: []any{rule}})
	old := s.connect(raw.Connect{Version: raw.V311, ID: "old", Clean: true})
	p := s.connect(raw.Connect{Version: raw.V311, ID: "publisher", Clean: true})
	old.Subscribe(1, "a")
	publishRounds(p, 20, "a")
	if got := readRounds(t, old, 20, "a"); got != 20 {
		t.Fatalf("%d messages without a limit, want all 20", got)
	}
	rule.rate.Store(2)
	s.RulesChanged()
	young := s.connect(raw.Connect{Version: raw.V5, ID: "young", Clean: true})
	subscribeAt(young, "900", 0, "a")
	began := time.Now()
	publishRounds(p, 50, "a")
	for _, reader := range []*raw.Client{old, young} {
		got := readRounds(t, reader, 50, "a")
		if most := 2 + int(time.Since(began)/(500*time.Millisecond)); got > most {
			t.Errorf("%d messages at 2 a second, want %d at most", got, most)
		}
	}
}

func TestMaxRateThatIsNone(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{})
	c := s.connect(raw.Connect{Version: raw.V5, ID: "c", Clean: true})
	for _, rate := range []string{"fast", "0", "-1", "Inf", "NaN", "1e999"} {
		if codes := subscribeAt(c, rate, 0, "a", "b"); codes[0] != 0x83 || codes[1] != 0x83 {
			t.Errorf("max_rate %q: SUBACK %v, want 0x83 for both", rate, codes)
		}
	}
	if codes := subscribeAt(c, "2", 0, "$share/g/a", "a"); codes[0] != 0x83 || codes[1] != 0 {
		t.Errorf("SUBACK %v; a shared subscription has no maximum rate", codes)
	}
	if codes := subscribeAt(c, "5000", 1, "b"); codes[0] != 1 {
		t.Errorf("SUBACK %v; a rate that nothing reaches is none", codes)
	}
}

// TestMaxRateIsKept has a subscription keep its rate when its session is resumed and over a restart, get another when it
// is made anew, and leave nothing behind when it ends.
func TestMaxRateIsKept(t *testing.T) {
	t.Parallel()
	store := newMemoryStore()
	s := start(t, broker.Options{Store: store})
	subscribeAt(s.connect(v5Durable("c")), "0.001", 0, "a")
	s, _ = s.crash(store)
	c := s.connect(v5Durable("c"))
	p := s.connect(raw.Connect{Version: raw.V5, ID: "p", Clean: true})
	for i := range 3 {
		p.Publish(raw.Publish{Topic: "a", QoS: 1, Payload: fmt.Sprint(i)})
	}
	c.ExpectPublish("a", "0")
	c.ExpectNothing()
	c.Subscribe(1, "a")
	p.Publish(raw.Publish{Topic: "a", QoS: 1, Payload: "now"})
	c.ExpectPublish("a", "now")
	p.Publish(raw.Publish{Topic: "a", QoS: 1, Payload: "then"})
	c.ExpectPublish("a", "then")
}
