package broker_test

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
	"github.com/outcry-mqtt/outcry/broker/guard"
)

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
