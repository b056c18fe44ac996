package broker_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
	"github.com/outcry-mqtt/outcry/internal/poller"
)

// TestGuests has one shard do the turns of three: what comes to the others' sockets, what is posted to them and what is due
// there must not lie until the next message.
func TestGuests(t *testing.T) {
	t.Parallel()
	o := broker.Options{Shards: 3}
	broker.HostAlways(&o)
	s := start(t, o)
	var clients [3]*raw.Client
	for i := range clients {
		c := s.connect(raw.Connect{Version: raw.V311, ID: s.idOn(i, "client"), Clean: true})
		clients[i] = c
		c.Subscribe(0, fmt.Sprint("to/", i))
	}
	heir := s.connect(raw.Connect{Version: raw.V311, ID: s.idOn(1, "heir"), Clean: true})
	heir.Subscribe(0, "left")
	will := &raw.Will{Topic: "left", Payload: "gone"}
	s.connect(raw.Connect{Version: raw.V311, ID: s.idOn(2, "dying"), Clean: true, KeepAlive: 1, Will: will})
	for i := range 1000 {
		from, to := i%3, (i+1+i/3%2)%3
		text := fmt.Sprint(i)
		clients[from].Publish(raw.Publish{Topic: fmt.Sprint("to/", to), Payload: text, QoS: 1, ID: i + 1})
		clients[to].ExpectPublish(fmt.Sprint("to/", to), text)
	}
	// A silent client's keep alive is a timer of its shard.
	heir.ExpectPublish("left", "gone")
	if !poller.Supported {
		return
	}
	for i, shard := range s.Stats().Shards[1:] {
		if shard.TurnsByOthers < 500 {
			t.Errorf("shard %d: %d turns were done by others", i+1, shard.TurnsByOthers)
		}
	}
}

// TestGuestsComeAndGo has shards be hosted and let go with every other message, in the middle of traffic and at the end.
func TestGuestsComeAndGo(t *testing.T) {
	t.Parallel()
	o := broker.Options{Shards: 3}
	broker.HostInTurns(&o)
	s := start(t, o)
	var talks sync.WaitGroup
	for pair := range 6 {
		a := s.connect(raw.Connect{Version: raw.V311, ID: s.idOn(pair%3, fmt.Sprint("a", pair)), Clean: true})
		b := s.connect(raw.Connect{Version: raw.V311, ID: s.idOn((pair+1+pair/3)%3, fmt.Sprint("b", pair)), Clean: true})
		a.Subscribe(0, fmt.Sprint("a/", pair))
		b.Subscribe(0, fmt.Sprint("b/", pair))
		talks.Go(func() {
			for i := range 1000 {
				text := fmt.Sprint(i)
				a.Publish(raw.Publish{Topic: fmt.Sprint("b/", pair), Payload: text})
				b.ExpectPublish(fmt.Sprint("b/", pair), text)
				b.Publish(raw.Publish{Topic: fmt.Sprint("a/", pair), Payload: text})
				a.ExpectPublish(fmt.Sprint("a/", pair), text)
				if i%100 == 0 {
					time.Sleep(time.Millisecond) // the loops sleep
				}
			}
		})
	}
	talks.Wait()
}

// TestGuestsOfAnEndingHost has a shard come twice to a host that ends, as one does that leaves because the host's loop has ended and
// is asked again: the host must not wait for it to leave twice.
func TestGuestsOfAnEndingHost(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{})
	done := make(chan struct{})
	go func() { defer close(done); s.ComeTwiceAtTheEnd() }()
	select {
	case <-done:
	case <-time.After(raw.Patience):
		t.Fatal("the host waits")
	}
}

// TestShardsThatSleep has two clients on different shards answer each other, so that each message finds the other shard
// asleep or about to be: none may be left lying there.
func TestShardsThatSleep(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{Shards: 2})
	var clients [2]*raw.Client
	for shard := range clients {
		clients[shard] = s.connect(raw.Connect{Version: raw.V311, ID: s.idOn(shard, "client"), Clean: true})
		clients[shard].Subscribe(0, fmt.Sprint("to/", shard))
	}
	const rounds = 2000
	for i := range rounds {
		text := fmt.Sprint(i)
		clients[0].Publish(raw.Publish{Topic: "to/1", Payload: text})
		clients[1].ExpectPublish("to/1", text)
		clients[1].Publish(raw.Publish{Topic: "to/0", Payload: text})
		clients[0].ExpectPublish("to/0", text)
	}
	lent := uint64(0)
	for _, shard := range s.Stats().Shards {
		lent += shard.TurnsByOthers
	}
	if lent == 0 {
		t.Error("no turn of a sleeping shard was done by the other")
	}
}
