package guard_test

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/outcry-mqtt/outcry/broker/guard"
)

func TestHalfOpen(t *testing.T) {
	g := newConnections(guard.Options{MaxHalfOpen: 2})
	const here = "192.0.2.1:1"
	for i, want := range []guard.Limit{guard.None, guard.None, guard.AddressHalfOpen} {
		if got := g.arrive(here, 0); got != want {
			t.Errorf("connection %d: %d, want %d", i+1, got, want)
		}
	}
	if g.arrive("192.0.2.2:1", 0) != guard.None {
		t.Error("another address is held up")
	}
	if from := g.open[here][0].Greet(0); from != nil {
		t.Error("one that is greeted goes on being counted, and nothing limits it")
	}
	if g.arrive(here, 0) != guard.None || g.arrive(here, 0) != guard.AddressHalfOpen {
		t.Error("one that is greeted is taken for half open, or several for it")
	}
	g.leave(here)
	if g.arrive(here, 0) != guard.None {
		t.Error("one that is gone is taken for half open")
	}
}

func TestGreetedConnectionsGoOnCounting(t *testing.T) {
	g := guard.New(guard.Options{MaxHalfOpen: 1, MaxPerAddress: 2})
	const here = "192.0.2.1:1"
	for range 2 {
		from, limit := g.Arrive(here, 0)
		if limit != guard.None || from.Greet(0) != from {
			t.Fatalf("limit %d", limit)
		}
	}
	if _, limit := g.Arrive(here, 0); limit != guard.AddressConnections {
		t.Errorf("the third: %d", limit)
	}
}

// Two connections of an address share one bucket, and each reserves its own time.
func TestWhatAnAddressSends(t *testing.T) {
	g := guard.New(guard.Options{MessagesPerSecond: 1, MessageBurst: 3, BytesPerSecond: 100, ByteBurst: 1000})
	one, two, other := g.Join("[2001:db8::1]:1"), g.Join("[2001:db8::2]:1"), g.Join("[2001:db8:0:1::1]:1")
	for i, tt := range []struct {
		from            *guard.Source
		messages, bytes int64
		now, at         int64
		want            guard.Limit
	}{
		{one, 1, 10, 0, 0, guard.None},
		{two, 1, 10, 0, 0, guard.None},
		{one, 1, 10, 0, 0, guard.None},
		{two, 1, 10, 0, second, guard.AddressMessages},
		{one, 1, 10, 0, 2 * second, guard.AddressMessages},
		{other, 1, 10, 0, 0, guard.None},
		{two, 0, 100_000, 0, 0, guard.None}, // more than the burst passes, and delays the next
		{one, 0, 10, 0, 990 * second, guard.AddressBytes},
		{two, 1, 0, 100 * second, 990 * second, guard.AddressBytes},
		{two, 1, 0, 2000 * second, 2000 * second, guard.None},
	} {
		at, got := tt.from.Pay(tt.messages, tt.bytes, tt.now)
		if got != tt.want || got != guard.None && (at < tt.at || at > tt.at+second) {
			t.Errorf("payment %d: limit %d until %d, want %d until %d", i, got, at, tt.want, tt.at)
		}
	}
}

// Closing connections and opening new ones does not refill the bucket.
func TestDebtsAreRemembered(t *testing.T) {
	g := guard.New(guard.Options{MessagesPerSecond: .1, MessageBurst: 5})
	const here = "192.0.2.1:1"
	from := g.Join(here)
	for range 5 {
		from.Pay(1, 1, 0)
	}
	from.Leave(false, 0)
	if _, limit := g.Join(here).Pay(1, 1, 0); limit != guard.AddressMessages {
		t.Errorf("limit %d", limit)
	}
	from = g.Join("192.0.2.2:1")
	from.Pay(1, 1, 0)
	from.Leave(false, 100*second)
	if addresses, _, open := g.Remembered(); addresses != 1 || open != 1 {
		t.Errorf("%d addresses are remembered and %d open, want 1 and 1: the other owes nothing", addresses, open)
	}
}

// Concurrent payments never pass more than the rate.
func TestPayingFromSeveralGoroutines(t *testing.T) {
	g := guard.New(guard.Options{MessagesPerSecond: 1, MessageBurst: 100})
	var passed atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			from := g.Join("192.0.2.1:1")
			for range 1000 {
				if _, limit := from.Pay(1, 10, second); limit == guard.None {
					passed.Add(1)
				}
			}
		})
	}
	all.Wait()
	if n := passed.Load(); n != 100 {
		t.Errorf("%d messages passed, want 100", n)
	}
}

func TestSet(t *testing.T) {
	g := guard.New(guard.Options{MaxPerAddress: 1})
	const here = "192.0.2.1:1"
	first, _ := g.Arrive(here, 0)
	g.Set(guard.Options{MaxPerAddress: 2})
	if _, limit := g.Arrive(here, 0); limit != guard.None {
		t.Errorf("with the new limit: %d", limit)
	}
	if _, limit := g.Arrive(here, 0); limit != guard.AddressConnections {
		t.Errorf("beyond the new limit: %d", limit)
	}
	g.Set(guard.Options{MaxPerAddress: 1, Exempt: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	if from, limit := g.Arrive(here, 0); from != nil || limit != guard.None {
		t.Errorf("exempt now: %d", limit)
	}
	first.Leave(true, 0) // counted before the address was exempt
	g.Set(guard.Options{MaxPerUser: 1})
	if g.Join(here) != nil || !g.JoinUser("ann") {
		t.Error("counted wrongly without limits of addresses")
	}
	if counted, limit := g.Enter("ann", 0); counted || limit != guard.UserConnections {
		t.Errorf("the second of ann: %d", limit)
	}
}

func BenchmarkPay(b *testing.B) {
	g := guard.New(guard.Options{MessagesPerSecond: 1e12, BytesPerSecond: 1e15})
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		from := g.Join("192.0.2.1:1")
		for p.Next() {
			from.Pay(1, 100, 0)
		}
	})
}
