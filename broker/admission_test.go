package broker_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
	"github.com/outcry-mqtt/outcry/broker/guard"
)

// All clients lose their connections and reconnect at once: all are let in, and a connected client is answered meanwhile.
func TestStormOfReconnects(t *testing.T) {
	s := start(t, broker.Options{})
	settled := s.connect(raw.Connect{Version: raw.V5, ID: "settled", Clean: true})
	const clients = 2000
	for round := range 2 {
		conns := make([]net.Conn, clients)
		for i := range conns {
			conns[i] = s.conn(s.tcp)
			_, _ = conns[i].Write(raw.Connect{Version: raw.V311, ID: fmt.Sprint("c", i), Clean: true}.Bytes())
		}
		settled.Send(raw.Plain(raw.PINGREQ))
		settled.Expect(raw.PINGRESP)
		end := time.Now().Add(2 * time.Minute)
		for i, c := range conns {
			_ = c.SetReadDeadline(end)
			var b [4]byte
			if _, err := c.Read(b[:]); err != nil || b != [4]byte{0x20, 2, 0, 0} {
				t.Fatalf("round %d, client %d: % x, %v; %+v", round, i, b, err, s.Stats())
			}
		}
		settled.Send(raw.Plain(raw.PINGREQ))
		settled.Expect(raw.PINGRESP)
		for _, c := range conns {
			_ = c.Close()
		}
	}
	s.eventually("all are gone", func(st broker.Stats) bool { return sumConnections(st) == 1 && st.Waiting == 0 })
}

// slowKeeper lets everybody in when its door opens.
type slowKeeper struct {
	door  chan struct{}
	asked sync.Map
}

func (k *slowKeeper) Authenticate(_ context.Context, c *broker.Credentials) (*broker.Identity, error) {
	k.asked.Store(c.ClientID, true)
	<-k.door
	return &broker.Identity{User: "x"}, nil
}

// A client that disconnects while it waits for admission costs no later work; the other waiting clients are let in.
func TestWhoGaveUpIsNotChecked(t *testing.T) {
	k := &slowKeeper{door: make(chan struct{})}
	s := start(t, broker.Options{Hooks: []any{k}})
	waiting := func(n int64) {
		t.Helper()
		s.eventually(fmt.Sprint(n, " wait"), func(st broker.Stats) bool { return st.Waiting == n })
	}
	const checkers = 4
	for i := range checkers {
		s.dial(raw.V5).SendConnect(raw.Connect{Version: raw.V5, ID: fmt.Sprint("first", i), Clean: true})
	}
	s.eventually("the checkers are busy", func(broker.Stats) bool {
		n := 0
		k.asked.Range(func(any, any) bool { n++; return true })
		return n == checkers
	})
	gone, there := s.dial(raw.V5), s.dial(raw.V5)
	gone.SendConnect(raw.Connect{Version: raw.V5, ID: "gone", Clean: true})
	waiting(1)
	there.SendConnect(raw.Connect{Version: raw.V5, ID: "there", Clean: true})
	waiting(2)
	gone.Close()
	s.Advance(2 * time.Second)
	close(k.door)
	if got := there.Expect(raw.CONNACK); got.Code != 0 {
		t.Errorf("%v", got)
	}
	s.eventually("one gave up", func(st broker.Stats) bool { return st.Auth["gave_up"] == 1 || st.Auth["ok"] == checkers+2 })
	if _, asked := k.asked.Load("gone"); asked {
		t.Error("the one that is gone was checked")
	}
}

// tokens accepts clients with the password "token", and leaves all others to other authenticators.
type tokens struct{}

func (tokens) Guessable(*broker.Credentials) bool { return false }

func (tokens) Authenticate(_ context.Context, c *broker.Credentials) (*broker.Identity, error) {
	if string(c.Password) != "token" {
		return nil, broker.ErrNotConcerned
	}
	return &broker.Identity{User: c.Username, Method: "tokens"}, nil
}

// hashes takes until it is released to check a password.
type hashes struct {
	keeper
	release chan struct{}
}

func (h hashes) Authenticate(ctx context.Context, c *broker.Credentials) (*broker.Identity, error) {
	select {
	case <-h.release:
	case <-ctx.Done():
	}
	return h.keeper.Authenticate(ctx, c)
}

// Passwords take long to check, and clients with tokens don't wait for them.
func TestTokensDoNotWaitForPasswords(t *testing.T) {
	t.Parallel()
	slow := hashes{release: make(chan struct{})}
	s := start(t, broker.Options{Hooks: []any{tokens{}, slow}})
	var waiting []*raw.Client
	for range 20 {
		c := s.dial(raw.V5)
		c.SendConnect(login("", "bob", "open"))
		waiting = append(waiting, c)
	}
	s.eventually("16 wait behind the 4 that are checked", func(st broker.Stats) bool { return st.Waiting == 16 })
	began := time.Now()
	s.connect(login("a", "ann", "token"))
	t.Logf("let in after %v", time.Since(began))
	close(slow.release)
	for _, c := range waiting {
		if got := c.Expect(raw.CONNACK); got.Code != 0 {
			t.Errorf("%v for a password that was right", got)
		}
	}
}

// A connection counts from its accept on, and until it is gone, whichever way it goes.
func TestPass(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{Limits: broker.Limits{Guard: guard.Options{MaxPerAddress: 1}}})
	const remote = "192.0.2.1:1"
	full := func(want bool) {
		t.Helper()
		p, err := s.Admit(remote)
		if errors.Is(err, broker.ErrTooManyConnections) != want {
			t.Fatalf("full: %v, want %v", err, want)
		}
		if err == nil {
			p.Leave()
		}
	}
	given, err := s.Admit(remote)
	if err != nil {
		t.Fatal(err)
	}
	full(true)
	given.Leave()
	given.Leave()
	full(false)

	proxied, err := s.Admit("")
	if err != nil {
		t.Fatal(err)
	}
	if err := proxied.From(remote); err != nil {
		t.Fatal(err)
	}
	full(true)
	ours, theirs := net.Pipe()
	if err := s.Attach(broker.Conn{Conn: theirs, Listener: "pipe", Remote: remote, Ticket: proxied}); err != nil {
		t.Fatal(err)
	}
	proxied.Leave() // too late
	full(true)
	c := raw.New(t, ours, raw.V5)
	c.Connect(raw.Connect{Version: raw.V5, ID: "c", Clean: true})
	full(true)
	bye(c)
	s.eventually("it is gone", func(st broker.Stats) bool { return sumConnections(st) == 0 })
	full(false)
	s.limited("address_connections", 4)
}

func TestPassThatHasLeftIsNotAttached(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{})
	p, err := s.Admit("192.0.2.1:1")
	if err != nil {
		t.Fatal(err)
	}
	p.Leave()
	ours, theirs := net.Pipe()
	if err := s.Attach(broker.Conn{Conn: theirs, Ticket: p}); !errors.Is(err, broker.ErrClosed) {
		t.Errorf("%v, want that it is closed", err)
	}
	raw.New(t, ours, raw.V5).ExpectClosed()
}

// The time for CONNECT begins with Admit, not with Attach.
func TestConnectTimeoutBeginsWithEnter(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{Limits: broker.Limits{ConnectTimeout: time.Hour}})
	p, err := s.Admit("192.0.2.1:1")
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(p.Deadline()); left > time.Hour || left < time.Minute {
		t.Errorf("%v are left of an hour", left)
	}
	s.Advance(45 * time.Minute)
	if left := time.Until(p.Deadline()); left > 15*time.Minute {
		t.Errorf("%v are left of 15 minutes", left)
	}
	ours, theirs := net.Pipe()
	if err := s.Attach(broker.Conn{Conn: theirs, Ticket: p}); err != nil {
		t.Fatal(err)
	}
	s.eventually("it is there", func(st broker.Stats) bool { return sumConnections(st) == 1 })
	s.Advance(16 * time.Minute)
	raw.New(t, ours, raw.V5).ExpectClosed()
	s.eventually("it is counted", func(st broker.Stats) bool { return st.Closed["connect_timeout"] == 1 })
}

func TestHalfOpenConnectionsOfAnAddress(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{Limits: broker.Limits{Guard: guard.Options{MaxHalfOpen: 2}}})
	here := s.from("192.0.2.1:1")
	hello := raw.Connect{Version: raw.V5, Clean: true}
	first, second := here(raw.V5), here(raw.V5)
	s.eventually("both are there", func(st broker.Stats) bool { return sumConnections(st) == 2 })
	here(raw.V5).ExpectClosed()
	s.limited("address_half_open", 1)
	s.from("192.0.2.2:1")(raw.V5).Connect(hello)
	first.Connect(hello)
	third := here(raw.V5)
	third.Connect(hello)
	second.Close()
	s.eventually("one is gone", func(st broker.Stats) bool { return sumConnections(st) == 3 })
	here(raw.V5).Connect(hello)
}

// TestPassThatHasLeft has a connection go before it is known whose it is: its address must not have it for ever.
func TestPassThatHasLeft(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{Limits: broker.Limits{Guard: guard.Options{MaxPerAddress: 1}}})
	const remote = "192.0.2.1:1000"
	gone, err := s.Admit("")
	if err != nil {
		t.Fatal(err)
	}
	gone.Leave()
	if err := gone.From(remote); !errors.Is(err, broker.ErrClosed) {
		t.Errorf("From after Leave: %v, want ErrClosed", err)
	}
	only, err := s.Admit(remote)
	if err != nil {
		t.Fatalf("the first connection that the address has: %v", err)
	}
	if _, err := s.Admit(remote); !errors.Is(err, broker.ErrTooManyConnections) {
		t.Errorf("the second: %v, want ErrTooManyConnections", err)
	}
	only.Leave()
	only.Leave()
	again, err := s.Admit(remote)
	if err != nil {
		t.Fatalf("after it has left: %v", err)
	}
	again.Leave()
}
