package broker_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
	"github.com/outcry-mqtt/outcry/broker/guard"
)

// from opens connections as if they came from an address.
func (s *server) from(remote string) func(version byte) *raw.Client {
	s.t.Helper()
	addr := s.listen(broker.Conn{Listener: "tcp", Remote: remote}, func(c net.Conn) net.Conn { return c })
	return func(version byte) *raw.Client {
		s.t.Helper()
		return raw.New(s.t, s.conn(addr), version)
	}
}

func (s *server) limited(limit string, want uint64) {
	s.t.Helper()
	s.eventually(fmt.Sprintf("%d times %s", want, limit), func(st broker.Stats) bool { return st.Limited[limit] == want })
}

func TestConnectionsPerAddress(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{Limits: broker.Limits{Guard: guard.Options{MaxPerAddress: 1}}})
	here, there := s.from("192.0.2.1:1"), s.from("192.0.2.2:1")
	hello := raw.Connect{Version: raw.V5, Clean: true}
	first := here(raw.V5)
	first.Connect(hello)
	here(raw.V5).ExpectClosed()
	s.limited("address_connections", 1)
	there(raw.V5).Connect(hello)
	bye(first)
	s.eventually("the first is gone", func(st broker.Stats) bool { return sumConnections(st) == 1 })
	here(raw.V5).Connect(hello)
}

func sumConnections(st broker.Stats) (n int64) {
	for _, s := range st.Shards {
		n += s.Connections
	}
	return n
}

func TestConnectsPerSecondOfAnAddress(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{Limits: broker.Limits{Guard: guard.Options{ConnectsPerSecond: .01, ConnectBurst: 2}}})
	here := s.from("192.0.2.1:1")
	for range 2 {
		here(raw.V5).Connect(raw.Connect{Version: raw.V5, Clean: true})
	}
	here(raw.V5).ExpectClosed()
	s.limited("address_connect_rate", 1)
	s.from("192.0.2.2:1")(raw.V5).Connect(raw.Connect{Version: raw.V5, Clean: true})
	s.Advance(200 * time.Second)
	here(raw.V5).Connect(raw.Connect{Version: raw.V5, Clean: true})
}

// attempt shows credentials, and expects a code of CONNACK.
func (s *server) attempt(dial func(byte) *raw.Client, k raw.Connect, want byte) {
	s.t.Helper()
	c := dial(k.Version)
	c.SendConnect(k)
	if got := c.Expect(raw.CONNACK); got.Code != want {
		s.t.Errorf("%q as %q: %v, want 0x%02X", *k.Password, *k.User, got, want)
	}
}

func TestFailedLoginsAreHeldOff(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{
		Hooks:  []any{keeper{}},
		Limits: broker.Limits{Guard: guard.Options{FailedLogins: 2, LoginWait: time.Hour, LoginMaxWait: time.Hour}},
	})
	here, there := s.from("192.0.2.1:1"), s.from("192.0.2.2:1")
	s.attempt(here, login("a", "ann", "open"), 0)
	s.attempt(here, login("b", "ann", "guess 1"), 0x86)
	s.attempt(here, login("b", "ann", "guess 2"), 0x86)
	s.attempt(here, login("b", "ann", "open"), 0x9F)
	old := login("b", "ann", "open")
	old.Version = raw.V311
	s.attempt(here, old, 3)
	s.attempt(here, login("a", "ann", "open"), 0) // the client that has succeeded before
	s.attempt(here, login("c", "bob", "open"), 0)
	s.attempt(there, login("b", "ann", "open"), 0)
	s.limited("failed_logins", 2)
	if n := s.Stats().Auth["backed_off"]; n != 2 {
		t.Errorf("%d counted as backed off, want 2", n)
	}
	s.Advance(time.Hour)
	s.attempt(here, login("b", "ann", "open"), 0)
}

// A device with an old password does not keep others out, whether they have its address or its user name.
func TestOldPasswordKeepsNobodyOut(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{Hooks: []any{keeper{}}, Limits: broker.Limits{Guard: guard.Options{FailedLogins: 10}}})
	here := s.from("192.0.2.1:1")
	for i := range 60 {
		c := here(raw.V5)
		c.SendConnect(login("old", "ann", "old password"))
		if got := c.Expect(raw.CONNACK); got.Code != 0x86 && got.Code != 0x9F {
			t.Fatalf("%v for an old password", got)
		}
		s.attempt(here, login(fmt.Sprint("new-", i), "ann", "open"), 0)
		s.attempt(here, login(fmt.Sprint("other-", i), fmt.Sprint("user-", i), "open"), 0)
		s.Advance(2 * time.Second)
	}
	if n := s.Stats().Limited["failed_logins"]; n < 40 {
		t.Errorf("the old password was held off %d times", n)
	}
}

// cached is a keeper that knows right passwords at once.
type cached struct{ keeper }

func (c cached) AuthenticateQuickly(cred *broker.Credentials) (*broker.Identity, bool) {
	if string(cred.Password) != "open" {
		return nil, false
	}
	id, _ := c.Authenticate(context.Background(), cred)
	return id, true
}

// One who is held off learns nothing from what is known at once, either.
func TestQuickAnswersHelpNoGuesser(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{Hooks: []any{cached{}}, Limits: broker.Limits{Guard: guard.Options{FailedLogins: 2, LoginWait: time.Hour}}})
	here := s.from("192.0.2.1:1")
	s.attempt(here, login("a", "ann", "guess 1"), 0x86)
	s.attempt(here, login("a", "ann", "guess 2"), 0x86)
	s.attempt(here, login("a", "ann", "open"), 0x9F)
	s.attempt(here, login("a", "bob", "open"), 0)
}

// signed is a keeper of what cannot be guessed.
type signed struct{ keeper }

func (signed) Guessable(*broker.Credentials) bool { return false }

// Forged tokens are refused as failed logins, and keep no good one out.
func TestForgedTokensKeepNobodyOut(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{Hooks: []any{signed{}}, Limits: broker.Limits{Guard: guard.Options{FailedLogins: 10, LoginWait: time.Hour}}})
	here := s.from("192.0.2.1:1")
	for i := range 30 {
		want := byte(0x86)
		if i >= 10 {
			want = 0x9F
		}
		s.attempt(here, login("a", "ann", "forged"), want)
	}
	s.attempt(here, login("a", "ann", "open"), 0)
	s.limited("failed_logins", 20)
}

// What is not the client's fault is no failed login.
func TestBrokenAuthenticatorHoldsNobodyOff(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{Hooks: []any{keeper{}}, Limits: broker.Limits{Guard: guard.Options{FailedLogins: 2}}})
	here := s.from("192.0.2.1:1")
	for range 10 {
		s.attempt(here, login("a", "ann", "broken"), 0x88)
	}
	s.attempt(here, login("a", "ann", "open"), 0)
}

// A client that is kept out comes back as often as it likes: that counts as failed logins.
func TestDeniedClientsAreHeldOff(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{Hooks: []any{keeper{}, bouncer{}}, Limits: broker.Limits{Guard: guard.Options{FailedLogins: 2, LoginWait: time.Hour}}})
	here := s.from("192.0.2.1:1")
	for _, want := range []byte{0x87, 0x87, 0x9F, 0x9F} {
		s.attempt(here, login("denied", "ann", "open"), want)
	}
	s.attempt(here, login("a", "ann", "open"), 0)
}

// bouncer keeps the client "denied" out.
type bouncer struct{}

func (bouncer) Admit(c *broker.Client) *broker.Refusal {
	if c.ID == "denied" {
		return &broker.Refusal{Code: broker.CodeNotAuthorized, Reason: "kept out", Label: "denied_client", Failed: true}
	}
	return nil
}

func TestConnectionsPerUser(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{Hooks: []any{keeper{}}, Limits: broker.Limits{Guard: guard.Options{MaxPerUser: 2}}})
	one, two := s.connect(login("1", "ann", "open")), s.connect(login("2", "ann", "open"))
	again := s.connect(login("1", "ann", "open")) // in the place of the first
	one.Expect(raw.DISCONNECT)
	third := s.dial(raw.V5)
	third.SendConnect(login("3", "ann", "open"))
	if got := third.Expect(raw.CONNACK); got.Code != 0x97 {
		t.Errorf("%v, want 0x97", got)
	}
	s.limited("user_connections", 1)
	s.connect(login("4", "bob", "open"))
	bye(two)
	s.connect(login("5", "ann", "open"))
	again.ExpectNothing()
}

// Two clients that take the same identifier from each other are held off, and the one that has it keeps it.
func TestReconnectsAreHeldOff(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{Limits: broker.Limits{Guard: guard.Options{
		ReconnectsPerMinute: 3, ReconnectWait: time.Hour, Exempt: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	}}})
	here := s.from("192.0.2.1:1")
	hello := raw.Connect{Version: raw.V5, ID: "war", Clean: true}
	var last *raw.Client
	for range 3 {
		last = here(raw.V5)
		last.Connect(hello)
	}
	for range 2 {
		c := here(raw.V5)
		c.SendConnect(hello)
		if got := c.Expect(raw.CONNACK); got.Code != 0x9F {
			t.Errorf("%v, want 0x9F", got)
		}
		c.ExpectClosed()
	}
	last.Send(raw.Plain(raw.PINGREQ))
	last.Expect(raw.PINGRESP)
	s.limited("reconnects", 2)
	here(raw.V5).Connect(raw.Connect{Version: raw.V5, ID: "peace", Clean: true})
	s.Advance(time.Hour)
	here(raw.V5).Connect(hello)
}

// A client that connects often and disconnects in good order is not flapping; one that is cut as often is.
func TestOrderlyClientsAreNotHeldOff(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{Limits: broker.Limits{Guard: guard.Options{ReconnectsPerMinute: 3, ReconnectWait: time.Hour}}})
	here := s.from("192.0.2.1:1")
	for _, version := range []byte{raw.V311, raw.V5} {
		for range 20 {
			c := here(version)
			c.Connect(raw.Connect{Version: version, ID: "sensor", Clean: true})
			bye(c)
		}
	}
	s.limited("reconnects", 0)
	for range 3 {
		c := here(raw.V5)
		c.Connect(raw.Connect{Version: raw.V5, ID: "sensor", Clean: true})
		c.Close()
	}
	c := here(raw.V5)
	c.SendConnect(raw.Connect{Version: raw.V5, ID: "sensor", Clean: true})
	if got := c.Expect(raw.CONNACK); got.Code != 0x9F {
		t.Errorf("%v, want 0x9F", got)
	}
}

// journal keeps what is logged.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// A flood writes a line, not a line each.
func TestLimitsAreLoggedSparingly(t *testing.T) {
	t.Parallel()
	log := &journal{}
	s := start(t, broker.Options{
		Logger: slog.New(slog.NewTextHandler(log, nil)),
		Limits: broker.Limits{Guard: guard.Options{ConnectsPerSecond: .001, ConnectBurst: 1}},
	})
	here := s.from("192.0.2.1:1")
	for range 200 {
		_ = here(raw.V5)
	}
	s.limited("address_connect_rate", 199)
	text := log.String()
	lines := strings.Count(text, "limit reached")
	if lines == 0 || lines > 20 || !strings.Contains(text, "limit=address_connect_rate times=1 remote=192.0.2.1:1") {
		t.Errorf("%d lines:\n%s", lines, text)
	}
}

// runFor runs a broker until the end of a benchmark.
func runFor(b *testing.B, o broker.Options) *broker.Broker {
	b.Helper()
	s, err := broker.New(o)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	b.Cleanup(func() {
		cancel()
		<-ended
	})
	return s
}

// BenchmarkConnect is a connection, its CONNECT and CONNACK, and its end.
func BenchmarkConnect(b *testing.B) {
	for _, bb := range []struct {
		name  string
		guard guard.Options
	}{
		{"unguarded", guard.Options{}},
		{"guarded", guard.Options{
			MaxPerAddress: 1 << 20, MaxPerUser: 1 << 20, ConnectsPerSecond: 1e9, FailedLogins: 10, ReconnectsPerMinute: 1 << 30,
		}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			s := runFor(b, broker.Options{Hooks: []any{keeper{}}, Limits: broker.Limits{Guard: bb.guard}})
			hello := login("bench", "ann", "open").Bytes()
			b.ReportAllocs()
			for b.Loop() {
				c := attach(b, s, false)
				if _, err := c.Write(hello); err != nil {
					b.Fatal(err)
				}
				if _, err := c.Read(make([]byte, 64)); err != nil {
					b.Fatal(err)
				}
				_ = c.Close()
			}
		})
	}
}
