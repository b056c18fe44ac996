package listeners

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

func addressNumber(i int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}) }

// TestPlacesAreShared compares the bound and the shares with a model, over many arrivals and departures.
func TestPlacesAreShared(t *testing.T) {
	const most, addresses = 50, 12
	r := rand.New(rand.NewPCG(1, 2))
	p := newPlaces(most)
	held := map[netip.Addr][]*place{}
	total := func() (n int) {
		for _, each := range held {
			n += len(each)
		}
		return n
	}
	for range 20_000 {
		a := addressNumber(int(r.ExpFloat64()*3) % addresses) // some addresses are much more frequent than others
		if n := len(held[a]); n > 0 && r.IntN(3) == 0 {
			if !held[a][0].release() || held[a][0].release() {
				t.Fatal("a place that is held is not released once")
			}
			held[a] = held[a][1:]
			continue
		}
		before, heaviest := total(), 0
		for _, each := range held {
			heaviest = max(heaviest, len(each))
		}
		own := len(held[a])
		var pl *place
		pl, v := p.try(a, func() {})
		evicted := false
		for other, each := range held {
			if len(each) > 0 && each[0].element == nil {
				if len(each) != heaviest || len(each) <= own+heavyShare {
					t.Fatalf("an address with %d lost a place to one with %d; the most was %d", len(each), own, heaviest)
				}
				held[other], evicted = each[1:], true
			}
		}
		switch {
		case before < most && v != granted, before == most && own+heavyShare < heaviest && v != granted:
			t.Fatalf("%d of %d are taken, %d of them by this address and %d by the one with most: %v", before, most, own, heaviest, v)
		case v == granted && evicted != (before == most):
			t.Fatalf("evicted: %v, with %d of %d taken", evicted, before, most)
		case v == refused && own <= heavyShare:
			t.Fatalf("an address with %d was refused", own)
		case v == granted:
			held[a] = append(held[a], pl)
		}
		if total() > most || p.taken != total() {
			t.Fatalf("%d places are held, %d counted", total(), p.taken)
		}
	}
}

func TestPlacesWait(t *testing.T) {
	p, closing := newPlaces(2), make(chan struct{})
	one, two := p.enter(addressNumber(1), nil, closing), p.enter(addressNumber(1), nil, closing)
	got := make(chan *place)
	go func() { got <- p.enter(addressNumber(1), nil, closing) }()
	one.release()
	three := <-got
	if three == nil || p.taken != 2 {
		t.Fatal("who waited did not get the place that became free")
	}
	go func() { got <- p.enter(addressNumber(2), nil, closing) }()
	close(closing)
	if <-got != nil {
		t.Error("a place was given away while the listener closes")
	}
	two.release()
	three.release()
	if len(p.addresses) != 0 {
		t.Error("addresses without a place are remembered")
	}
}

// TestPageTime checks the time limit of connections that load pages.
func TestPageTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		defer client.Close()
		d := &admission{places: newPlaces(1), pages: newPlaces(1)}
		g := &pendingConn{Conn: server, admission: d, place: d.place(server, nil)}
		g.timer = time.AfterFunc(defaultHeaderTimeout, g.expire)
		if last, ok := g.servePage(); last || !ok || d.places.taken != 0 || d.pages.taken != 1 {
			t.Fatalf("the first page: last %v, %v", last, ok)
		}
		time.Sleep(pageTime - time.Second)
		if last, ok := g.servePage(); last || !ok {
			t.Errorf("before its time is over: last %v, %v", last, ok)
		}
		time.Sleep(2 * time.Second)
		if last, ok := g.servePage(); !last || !ok {
			t.Errorf("when its time is over: last %v, %v", last, ok)
		}
		began := time.Now()
		if _, err := client.Read(make([]byte, 1)); err == nil || time.Since(began) > pageCutTime {
			t.Errorf("it was open for %v more: %v", time.Since(began), err)
		}
		g.Close()
		if d.pages.taken != 0 {
			t.Error("its place is not free")
		}
	})
}
