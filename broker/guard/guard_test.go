package guard_test

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker/guard"
)

const second = int64(time.Second)

func TestNothingToGuard(t *testing.T) {
	g := guard.New(guard.Options{})
	ann := &guard.Attempt{Remote: "192.0.2.1:1", User: "ann"}
	g.LoginFailed(ann, 0)
	g.LoginSucceeded(ann, 0)
	from, limit := g.Arrive("192.0.2.1:1", 0)
	counted, user := g.Enter("ann", 0)
	if limit|user|g.Login(ann, 0)|g.ProofFailed(ann.Remote, 0)|g.Return("a", "192.0.2.1:1", 0) != guard.None {
		t.Error("it holds somebody up")
	}
	if from != nil || counted || g.Join("192.0.2.1:1") != nil || g.JoinUser("ann") {
		t.Error("it counts without a limit")
	}
	from.Greet(0).Leave(false, 0)
	if addresses, clients, open := g.Remembered(); addresses+clients+open != 0 {
		t.Error("it remembers something")
	}
}

// connections opens and closes connections, and keeps the open ones by remote.
type connections struct {
	*guard.Guard
	open map[string][]*guard.Source
}

func newConnections(o guard.Options) connections {
	return connections{guard.New(o), map[string][]*guard.Source{}}
}

func (v connections) arrive(remote string, now int64) guard.Limit {
	from, limit := v.Arrive(remote, now)
	if limit == guard.None {
		v.open[remote] = append(v.open[remote], from)
	}
	return limit
}

func (v connections) leave(remote string) {
	last := len(v.open[remote]) - 1
	v.open[remote][last].Leave(true, 0)
	v.open[remote] = v.open[remote][:last]
}

func TestConnectionsOfAnAddress(t *testing.T) {
	exempt := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("2001:db8:ffff::/48")}
	g := newConnections(guard.Options{MaxPerAddress: 2, Exempt: exempt})
	for _, tt := range []struct {
		name, first, other string
		same, exempt       bool
	}{
		{"one v4 address", "192.0.2.1:1000", "192.0.2.1:2000", true, false},
		{"two v4 addresses", "192.0.2.2:1000", "192.0.2.3:1000", false, false},
		{"v4 in v6", "192.0.2.4:1000", "[::ffff:192.0.2.4]:1000", true, false},
		{"one v6 network", "[2001:db8:1:2::1]:1000", "[2001:db8:1:2:ffff::9]:1000", true, false},
		{"two v6 networks", "[2001:db8:1:3::1]:1000", "[2001:db8:1:4::1]:1000", false, false},
		{"without a port", "192.0.2.5", "192.0.2.5:7", true, false},
		{"with a zone", "[fe80::1%eth0]:1", "[fe80::2%eth1]:1", true, false},
		{"loopback", "127.0.0.1:1", "127.0.0.1:2", true, true},
		{"loopback in v6", "[::ffff:127.0.0.1]:1", "127.0.0.1:2", true, true},
		{"an exempt network", "[2001:db8:ffff::1]:1", "[2001:db8:ffff::2]:1", true, true},
		{"a unix socket", "@", "@", true, true},
		{"none", "", "", true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for i := range 2 {
				if got := g.arrive(tt.first, 0); got != guard.None {
					t.Fatalf("connection %d: %d", i, got)
				}
			}
			want := guard.None
			if tt.same && !tt.exempt {
				want = guard.AddressConnections
			}
			if got := g.arrive(tt.other, 0); got != want {
				t.Errorf("the other: %d, want %d", got, want)
			}
			g.leave(tt.first)
			if got := g.arrive(tt.first, 0); got != guard.None {
				t.Errorf("when one is gone: %d", got)
			}
		})
	}
}

func TestPrefixesCanBeChosen(t *testing.T) {
	g := newConnections(guard.Options{MaxPerAddress: 1, PrefixV4: 24, PrefixV6: 48})
	for _, pair := range [][2]string{{"192.0.2.1:1", "192.0.2.200:1"}, {"[2001:db8:1:1::]:1", "[2001:db8:1:2::]:1"}} {
		if first, second := g.arrive(pair[0], 0), g.arrive(pair[1], 0); first != guard.None || second != guard.AddressConnections {
			t.Errorf("%v: %d, %d", pair, first, second)
		}
	}
}

func TestConnectsPerSecond(t *testing.T) {
	g := newConnections(guard.Options{ConnectsPerSecond: 2, ConnectBurst: 5})
	passed := func(now int64) (n int) {
		for g.arrive("192.0.2.1:1", now) == guard.None {
			n++
		}
		return n
	}
	for _, tt := range []struct {
		at   int64
		want int
	}{{0, 5}, {second / 4, 0}, {second, 2}, {2 * second, 2}, {100 * second, 5}} {
		if got := passed(tt.at); got != tt.want {
			t.Errorf("after %v: %d connects pass, want %d", time.Duration(tt.at), got, tt.want)
		}
	}
	if g.arrive("192.0.2.2:1", 100*second) != guard.None {
		t.Error("another address is held up")
	}
}

func TestReconnects(t *testing.T) {
	g := guard.New(guard.Options{ReconnectsPerMinute: 6, ReconnectWait: 5 * time.Second, Exempt: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	const remote = "192.0.2.1:1"
	for i := range 6 {
		if g.Return("a", remote, 0) != guard.None {
			t.Fatalf("connection %d is held off", i)
		}
	}
	if g.Return("a", remote, second) != guard.Reconnects || g.Return("a", remote, 6*second-1) != guard.Reconnects {
		t.Error("it is not held off for 5 s")
	}
	if g.Return("b", remote, second) != guard.None || g.Return("a", "10.0.0.1:1", second) != guard.None {
		t.Error("others are held off")
	}
	if g.Return("a", remote, 12*second) != guard.None {
		t.Error("it is held off for longer than it has to be")
	}
	for now := int64(100); now < 200; now += 10 {
		if g.Return("a", remote, now*second) != guard.None {
			t.Errorf("once in ten seconds is too often, after %d s", now)
		}
	}
}

func TestOrderlyReconnects(t *testing.T) {
	g := guard.New(guard.Options{ReconnectsPerMinute: 6, ReconnectWait: 5 * time.Second})
	const remote = "192.0.2.1:1"
	for i := range 100 {
		if g.Return("a", remote, 0) != guard.None {
			t.Fatalf("connection %d is held off", i)
		}
		g.Goodbye("a", remote)
	}
	for i := range 6 { // clean reconnects before do not raise the allowance
		if g.Return("a", remote, 0) != guard.None {
			t.Fatalf("connection %d that is cut is held off", i)
		}
	}
	if g.Return("a", remote, 0) != guard.Reconnects {
		t.Error("one that is cut all the time is not held off")
	}
}

func TestConnectionsOfAUser(t *testing.T) {
	g := guard.New(guard.Options{MaxPerUser: 2})
	enter := func(user string, instead int) guard.Limit {
		counted, limit := g.Enter(user, instead)
		if counted != (limit == guard.None && user != "") {
			t.Errorf("%q: counted %v with limit %d", user, counted, limit)
		}
		return limit
	}
	for i, want := range []guard.Limit{guard.None, guard.None, guard.UserConnections} {
		if got := enter("ann", 0); got != want {
			t.Errorf("connection %d: %d, want %d", i+1, got, want)
		}
	}
	if enter("ann", 1) != guard.None {
		t.Error("one that takes the place of another is refused")
	}
	g.Exit("ann")
	if enter("ann", 0) != guard.UserConnections || enter("bob", 0) != guard.None {
		t.Error("counted wrongly")
	}
	g.Exit("ann")
	g.Exit("ann")
	if enter("ann", 0) != guard.None {
		t.Error("who is gone counts")
	}
	for range 5 {
		if enter("", 0) != guard.None {
			t.Error("anonymous clients are somebody")
		}
	}
}

// State left behind by an attacker with many addresses is bounded.
func TestMemoryIsBounded(t *testing.T) {
	g := newConnections(guard.Options{
		MaxPerAddress: 10, ConnectsPerSecond: 1, ConnectBurst: 10, FailedLogins: 1, ReconnectsPerMinute: 10, MaxRemembered: 1024,
	})
	for i := range 100_000 {
		remote := fmt.Sprintf("[2001:db8:%x:%x::1]:1", i>>16, i&0xffff)
		if g.arrive(remote, 0) != guard.None {
			t.Fatal(remote)
		}
		a := &guard.Attempt{Remote: remote, User: remote, Client: remote}
		g.LoginFailed(a, 0)
		g.LoginSucceeded(a, 0)
		g.ProofFailed(remote, 0)
		g.Return(remote, remote, 0)
		g.leave(remote)
	}
	if addresses, clients, open := g.Remembered(); addresses > 2*1024+128 || clients > 2*1024+128 || open != 0 {
		t.Errorf("%d addresses and %d clients are remembered, want about 2048; %d are open", addresses, clients, open)
	}
	if guesses, trusted := g.RememberedLogins(); guesses > 2*1024+128 || trusted > 2*1024+128 {
		t.Errorf("%d users with failed logins and %d with others are remembered, want about 2048", guesses, trusted)
	}
}

func TestFromSeveralGoroutines(t *testing.T) {
	g := guard.New(guard.Options{MaxPerAddress: 5, MaxPerUser: 5, MaxHalfOpen: 5, ConnectsPerSecond: 1e6, MessagesPerSecond: 1000, FailedLogins: 5, ReconnectsPerMinute: 1000})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 1000 {
				remote, user := fmt.Sprintf("192.0.2.%d:1", i%4), fmt.Sprint(i%4)
				a := &guard.Attempt{Remote: remote, User: user, Client: user}
				g.LoginFailed(a, 0)
				g.Login(a, 0)
				g.LoginSucceeded(a, 0)
				g.ProofFailed(remote, 0)
				g.Return(user, remote, 0)
				if from, limit := g.Arrive(remote, second); limit == guard.None {
					from.Pay(1, 10, second)
					from.Greet(second).Leave(false, second)
				}
				if counted, _ := g.Enter(user, 0); counted {
					g.Exit(user)
				}
			}
		})
	}
	all.Wait()
	if _, _, open := g.Remembered(); open != 0 {
		t.Errorf("%d are open", open)
	}
}

func BenchmarkArriveAndLeave(b *testing.B) {
	g := guard.New(guard.Options{MaxPerAddress: 1000, ConnectsPerSecond: 1e9, Exempt: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if from, limit := g.Arrive("192.0.2.1:12345", 0); limit == guard.None {
				from.Greet(0).Leave(false, 0)
			}
		}
	})
}
