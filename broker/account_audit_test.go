package broker_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// mischief is clients that do at random what makes bytes wait: they don't read, don't acknowledge, go away, and subscribe with a
// maximum rate.
type mischief struct {
	s       *server
	random  *rand.Rand
	clients []*raw.Client
	payload string
}

func newMischief(s *server, seed uint64) *mischief {
	return &mischief{s: s, random: rand.New(rand.NewPCG(seed, 3)), payload: strings.Repeat("x", 20_000)}
}

// step does one of these things.
func (f *mischief) step() {
	r := f.random
	switch k := r.IntN(10); {
	case k == 0 || len(f.clients) == 0:
		id := fmt.Sprint("c", r.IntN(12))
		props := raw.Props{raw.Num(raw.SessionExpiry, r.IntN(2)*3600), raw.Num(raw.ReceiveMaximum, 1+r.IntN(100))}
		c, _ := f.s.slow(raw.Connect{Version: raw.V5, ID: id, Clean: r.IntN(3) == 0, Props: props})
		f.clients = append(f.clients, c)
	case k == 1:
		i := r.IntN(len(f.clients))
		f.clients[i].Close()
		f.clients = append(f.clients[:i], f.clients[i+1:]...)
	case k < 4:
		p := raw.Subscribe{ID: 1 + r.IntN(60000), Filters: []raw.Filter{{Name: fmt.Sprintf("t/%d/#", r.IntN(4)), Options: byte(r.IntN(3))}}}
		if r.IntN(3) == 0 {
			p.Props = raw.Props{raw.User("max_rate", "0.001")}
		}
		_ = f.clients[r.IntN(len(f.clients))].TrySend(p.Bytes(raw.V5))
	default:
		p := raw.Publish{Topic: fmt.Sprintf("t/%d/%d", r.IntN(4), r.IntN(50)), QoS: byte(r.IntN(3)), ID: 1 + r.IntN(60000),
			Payload: f.payload[:r.IntN(len(f.payload))], Retain: r.IntN(8) == 0}
		if p.QoS == 0 {
			p.ID = 0
		}
		c := f.clients[r.IntN(len(f.clients))]
		for range 20 {
			if c.TrySend(p.Bytes(raw.V5)) != nil {
				break
			}
			p.ID++
		}
	}
}

// TestAccountAddsUp holds the account of everything that waits against the sum over all sessions, after random steps, and
// against nothing when the sessions have ended.
func TestAccountAddsUp(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			s := start(t, broker.Options{Limits: broker.Limits{MaxQueuedBytesTotal: 4 << 20, MaxParkedBytesTotal: 1 << 20, MaxRetainedBytes: 1 << 20}})
			f := newMischief(s, seed)
			for i := range 400 {
				f.step()
				if i%50 == 49 {
					if err := s.Audit(); err != nil {
						t.Fatalf("after step %d: %v", i, err)
					}
				}
			}
			for _, c := range f.clients {
				c.Close()
			}
			s.eventually("no client is connected", func(st broker.Stats) bool { return len(st.Connections) == 0 || st.Sessions == st.SessionsOffline })
			s.Advance(3601e9)
			s.eventually("nothing waits", func(st broker.Stats) bool {
				return st.Sessions == 0 && st.QueuedBytes == 0 && st.InflightBytes == 0 && st.ParkedBytes == 0 && st.Queued == 0 && st.Inflight == 0
			})
			if err := s.Audit(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestAccountBoundsTheHeap has many clients that neither read nor acknowledge, with more for each than the totals allow for all:
// the heap holds no more than these, and a little for each client.
func TestAccountBoundsTheHeap(t *testing.T) {
	const total, clients = 4 << 20, 60
	s := start(t, broker.Options{Limits: broker.Limits{MaxQueuedBytesTotal: total, MaxParkedBytesTotal: total}})
	before := heapBytes()
	for i := range clients {
		c, _ := s.slow(raw.Connect{Version: raw.V5, ID: fmt.Sprint("c", i), Props: raw.Props{raw.Num(raw.SessionExpiry, 3600)}})
		c.Subscribe(byte(i%2), fmt.Sprint("own/", i))
	}
	p := s.connect(raw.Connect{Version: raw.V5, ID: "p", Clean: true})
	payload := strings.Repeat("x", 8000)
	for i := range clients {
		for range 100 {
			p.Publish(raw.Publish{Topic: fmt.Sprint("own/", i), Payload: payload, QoS: byte(i % 2)})
		}
	}
	st := s.Stats()
	if most := int64(total + clients*(64<<10)); st.QueuedBytes+st.InflightBytes > most || st.ParkedBytes > most {
		t.Errorf("%d queued, %d in flight, %d parked: want at most %d", st.QueuedBytes, st.InflightBytes, st.ParkedBytes, most)
	}
	if grown, most := heapBytes()-before, int64(2*total+clients*(192<<10)); grown > most {
		t.Errorf("the heap grew by %d bytes, want at most %d", grown, most)
	}
	if err := s.Audit(); err != nil {
		t.Error(err)
	}
}

func heapBytes() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
