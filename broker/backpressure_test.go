package broker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
	"github.com/outcry-mqtt/outcry/broker/storage"
)

// many is n filters that begin with a name.
func many(name string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprint(name, "/", i)
	}
	return all
}

func subscribeTo(filters []string) []byte {
	s := raw.Subscribe{ID: 9}
	for _, f := range filters {
		s.Filters = append(s.Filters, raw.Filter{Name: f, Options: 1})
	}
	return s.Bytes(raw.V5)
}

// replaying is the number of stored subscriptions with an unfinished replay of retained messages.
func (s *memoryStore) replaying() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, value := range s.values[storage.SpaceSubscriptions] {
		if value[1]&64 != 0 {
			n++
		}
	}
	return n
}

// TestSubscribersWaitForTheStore has durable sessions subscribe to, and unsubscribe from, more filters than may wait for a
// store that stands still: they are held, and others are not.
func TestSubscribersWaitForTheStore(t *testing.T) {
	t.Parallel()
	const clients, each = 4, 5000
	disk := newDisk()
	s := start(t, broker.Options{Store: disk, Shards: 1})
	t.Cleanup(disk.flow)
	var all []*raw.Client
	for i := range clients {
		all = append(all, s.connect(v5Durable(fmt.Sprint("many", i))))
	}
	few, publisher := s.connect(v5Durable("few")), s.connect(v5Durable("publisher"))
	few.Subscribe(1, "few/0")
	publisher.Subscribe(1, "own") // from now on it waits for the store where others do
	held := func() {
		t.Helper()
		s.eventually("held", func(broker.Stats) bool { return s.HeldForStore() == clients })
		if n := s.StoringOps(); n > broker.MostStoringUnits+16*1000 {
			t.Errorf("%d operations wait for the store", n)
		}
	}
	disk.stall(0)
	for i, c := range all {
		c.Send(subscribeTo(many(fmt.Sprint("topic", i), each)))
	}
	held()
	before := s.Stats().Subscriptions
	few.Send(subscribeTo(many("few", 10)))
	s.eventually("a few filters", func(st broker.Stats) bool { return st.Subscriptions == before+9 })
	publisher.Send(raw.Publish{Topic: "few/1", Payload: "x", QoS: 1, ID: 1}.Bytes(raw.V5))
	few.ExpectPublish("few/1", "x")
	disk.flow()
	few.ExpectAck(raw.SUBACK, 9)
	publisher.ExpectAck(raw.PUBACK, 1)
	for _, c := range all {
		if codes := c.ExpectAck(raw.SUBACK, 9).Codes; len(codes) != each || strings.Count(string(codes), "\x01") != each {
			t.Errorf("%d codes, of %d filters", len(codes), each)
		}
	}
	if n := disk.count(storage.SpaceSubscriptions); n != clients*each+11 {
		t.Errorf("%d subscriptions are stored when they are acknowledged", n)
	}
	s.eventually("stored again after the replay", func(broker.Stats) bool { return disk.replaying() == 0 })

	s.eventually("the store rests", func(broker.Stats) bool { return s.StoringOps() == 0 })
	disk.stall(0)
	for i, c := range all {
		c.Send(raw.Unsubscribe{ID: 10, Filters: many(fmt.Sprint("topic", i), each)}.Bytes(raw.V5))
	}
	held()
	disk.flow()
	for _, c := range all {
		c.ExpectAck(raw.UNSUBACK, 10)
	}
	if n := disk.count(storage.SpaceSubscriptions); n != 11 {
		t.Errorf("%d subscriptions are stored when the others' end is acknowledged", n)
	}
}

// TestSubscribeThatFailsInPart has a store fail for the first part of a SUBSCRIBE and work again for the rest.
func TestSubscribeThatFailsInPart(t *testing.T) {
	t.Parallel()
	disk := newDisk()
	s := start(t, broker.Options{Store: disk, Shards: 1})
	t.Cleanup(disk.flow)
	c := s.connect(v5Durable("c"))
	s.eventually("the store rests", func(broker.Stats) bool { return s.StoringOps() == 0 })
	disk.stall(0)
	c.Send(subscribeTo(many("topic", 5000)))
	s.eventually("held", func(broker.Stats) bool { return s.HeldForStore() == 1 })
	disk.failWaiting(errors.New("no"))
	c.ExpectEnd(0x89)
}

// farFuture gives identities that last longer than the broker's clock and JSON go.
type farFuture struct{}

var farAway = time.Date(10_000, time.January, 1, 0, 0, 30, 0, time.UTC)

func (farFuture) Authenticate(context.Context, *broker.Credentials) (*broker.Identity, error) {
	return &broker.Identity{User: "ann", Expires: farAway}, nil
}

func TestIdentityOfTheFarFuture(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{Hooks: []any{farFuture{}}})
	c := raw.New(t, s.conn(s.tcp), raw.V5)
	c.Connect(raw.Connect{Version: raw.V5, ID: "c", Clean: true, KeepAlive: 1, User: ptr("ann"), Password: ptr("x")})
	c.Send(raw.Subscribe{ID: 1, Filters: []raw.Filter{{Name: "$me/token"}}}.Bytes(raw.V5))
	c.Expect(raw.SUBACK)
	notice := told(t, c, "$me/token")
	left := time.Until(time.Date(9999, time.December, 31, 23, 59, 59, 0, time.UTC)) // of 292 years, the most that it can be
	if seconds, _ := notice["seconds"].(float64); notice["expires"] != "9999-12-31T23:59:59Z" || seconds < left.Seconds() {
		t.Errorf("told %v", notice)
	}
	for range 4 { // longer than the keep alive, so that the timer fires
		s.Skip(time.Second)
		c.Send(raw.Plain(raw.PINGREQ))
		c.Expect(raw.PINGRESP)
	}
}

// TestTimesBeyondTheWire configures times that no packet can carry.
func TestTimesBeyondTheWire(t *testing.T) {
	t.Parallel()
	century := 100 * 365 * 24 * time.Hour
	s := start(t, broker.Options{Limits: broker.Limits{ServerKeepAlive: 65536 * time.Second, MaxSessionExpiry: 2 * century}})
	c := raw.New(t, s.conn(s.tcp), raw.V5)
	ack := c.Connect(raw.Connect{Version: raw.V5, ID: "c", Props: raw.Props{raw.Num(raw.SessionExpiry, raw.Never)}})
	if got := ack.Props.Num(raw.ServerKeepAlive); got != math.MaxUint16 {
		t.Errorf("a keep alive of %d s", got)
	}
	if got := uint32(ack.Props.Num(raw.SessionExpiry)); got != math.MaxUint32-1 {
		t.Errorf("a session expiry of %d s", got)
	}
}

// TestWaitingForTheStoreAddsUp writes everything that a transaction may hold, to a disk that works, fails and works again. In the
// end nothing counts as waiting.
func TestWaitingForTheStoreAddsUp(t *testing.T) {
	t.Parallel()
	disk := newDisk()
	s := start(t, broker.Options{Store: disk})
	t.Cleanup(disk.flow)
	for round := range 3 {
		c := s.connect(raw.Connect{
			Version: raw.V5, ID: fmt.Sprint("c", round), Props: []raw.Prop{raw.Num(raw.SessionExpiry, 1000)},
			Will: &raw.Will{Topic: "will", Payload: "gone", QoS: 1, Retain: true},
		})
		c.Subscribe(2, "#")
		if round == 1 {
			disk.setFail(errDiskFull)
		}
		for id := 1; id <= 20; id++ {
			c.Send(raw.Publish{Topic: fmt.Sprint("a/", id), Payload: strings.Repeat("x", 3000), QoS: byte(id % 3), ID: id, Retain: id%2 == 0}.Bytes(raw.V5))
		}
		c.Send(raw.Plain(raw.PINGREQ))
		for {
			p, err := c.Read()
			if err != nil || p.Type == raw.PINGRESP {
				break
			}
		}
		c.Close()
		disk.setFail(nil)
		s.Advance(2 * time.Second)
		s.eventually("all is stored", func(broker.Stats) bool { return s.AllStored() && s.StoringOps() == 0 })
		if n := s.StoringBytes(); n != 0 {
			t.Fatalf("round %d: %d bytes count as waiting", round, n)
		}
	}
}

// TestReplayOfALostConnectionIsBounded has a durable session lose its connection in a replay of more than may wait for the store.
// The rest is sent when the client is back.
func TestReplayOfALostConnectionIsBounded(t *testing.T) {
	t.Parallel()
	const messages, size, most = 200, 100_000, 2 << 20
	store := newMemoryStore()
	s := start(t, broker.Options{Store: store, Shards: 1, Limits: broker.Limits{MaxStoringBytes: most}})
	pub := s.connect(raw.Connect{Version: raw.V5, ID: "pub", Clean: true})
	for i := range messages {
		pub.Publish(raw.Publish{Topic: fmt.Sprint("r/", i), Payload: strings.Repeat("x", size), QoS: 1, Retain: true})
	}
	k := v5Durable("slow")
	slow, _ := s.slow(k)
	store.hold(storage.SpaceMessages)
	slow.Send(raw.Subscribe{ID: 1, Filters: []raw.Filter{{Name: "r/#", Options: 1}}}.Bytes(raw.V5))
	s.eventually("the replay has begun", func(st broker.Stats) bool { return st.Inflight > 0 })
	slow.Close()
	s.eventually("the connection has gone", func(st broker.Stats) bool { return st.SessionsOffline == 1 })
	if n := s.StoringBytes(); n > 3*most {
		t.Errorf("%d bytes wait for the store", n)
	}
	store.release()
	c := s.connect(k)
	for got := map[string]bool{}; len(got) < messages; {
		p := c.Expect(raw.PUBLISH)
		got[p.Topic] = true
		c.Send(raw.Ack(raw.PUBACK, p.ID))
	}
}

// TestHeldAcknowledgementsAreBounded has a client ask for more answers than may be held while one waits for the store. It is not
// read until the store has answered, and then gets all answers.
func TestHeldAcknowledgementsAreBounded(t *testing.T) {
	t.Parallel()
	const most, asked = 2 * 1024, 16 << 10
	duplicate := raw.Publish{Topic: "a", QoS: 2, ID: 5}.Bytes(raw.V5)
	var filters []raw.Filter // none is allowed
	for range 1000 {
		filters = append(filters, raw.Filter{Name: "a/#/b"})
	}
	for name, test := range map[string]struct {
		first, more []byte
		asked       int
		answer      raw.Type
	}{
		"PUBREL":    {subscribeTo([]string{"a"}), raw.Ack(raw.PUBREL, 77), asked, raw.PUBCOMP},
		"duplicate": {duplicate, duplicate, asked, raw.PUBREC},
		"SUBSCRIBE": {duplicate, raw.Subscribe{ID: 1, Filters: filters}.Bytes(raw.V5), 1000, raw.SUBACK},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := newMemoryStore()
			s := start(t, broker.Options{Shards: 1, Store: store})
			c, other := s.connect(v5Durable("c")), s.connect(raw.Connect{Version: raw.V5, ID: "other", Clean: true})
			s.eventually("all is stored", func(broker.Stats) bool { return s.AllStored() })
			store.hold(storage.SpaceSubscriptions, storage.SpaceFlows)
			c.Send(test.first)
			s.eventually("the first is held", func(broker.Stats) bool { return s.HeldAcks() == 1 })
			sent := make(chan error, 1)
			go func() { sent <- c.TrySend(bytes.Repeat(test.more, test.asked)) }()
			s.eventually("some are held", func(broker.Stats) bool { return s.HeldAcks() > 200 })
			for range 3 {
				other.Send(raw.Plain(raw.PINGREQ))
				other.Expect(raw.PINGRESP)
			}
			if n := s.HeldAcks(); n > most || test.answer == raw.SUBACK && n > 300 {
				t.Errorf("%d acknowledgements are held", n)
			}
			store.release()
			c.Read()
			for range test.asked {
				c.Expect(test.answer)
			}
			if err := <-sent; err != nil {
				t.Error(err)
			}
			c.ExpectNothing()
		})
	}
}

// TestNewConnectionsWaitForTheStore has one connection after the other publish a large message that must be stored, while the store
// stands still. They are not accepted without end, though each has stored nothing before.
func TestNewConnectionsWaitForTheStore(t *testing.T) {
	t.Parallel()
	const clients, size, most = 40, 500_000, 2 << 20
	store := newMemoryStore()
	s := start(t, broker.Options{Store: store, Shards: 1, Limits: broker.Limits{MaxStoringBytes: most}})
	away := s.connect(v5Durable("away"))
	away.Subscribe(1, "t")
	away.Disconnect()
	fast := s.connect(raw.Connect{Version: raw.V5, ID: "fast", Clean: true})
	store.hold(storage.SpaceMessages)
	var all []*raw.Client
	for i := range clients {
		c := s.connect(raw.Connect{Version: raw.V5, ID: fmt.Sprint("c", i), Clean: true})
		c.Send(raw.Publish{Topic: "t", QoS: 1, ID: 1, Payload: strings.Repeat("x", size)}.Bytes(raw.V5))
		all = append(all, c)
	}
	s.eventually("some are held back", func(broker.Stats) bool { return s.HeldForStore() > clients/2 })
	if n := s.StoringBytes(); n > 2*most+2*size {
		t.Errorf("%d bytes wait for the store", n)
	}
	fast.Publish(raw.Publish{Topic: "t/0"}) // QoS 0 does not wait
	fast.Send(raw.Plain(raw.PINGREQ))
	fast.Expect(raw.PINGRESP)
	store.release()
	for _, c := range all {
		c.ExpectAck(raw.PUBACK, 1)
	}
}
