package broker_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// quietly lets ann publish the topic "mine" alone, and keeps the client "denied" out.
type quietly struct{}

func (quietly) Authorize(_ *broker.Client, a broker.Action, topic string) bool {
	return topic == "mine" || a == broker.Subscribe && topic == "heard"
}

func (quietly) Admit(c *broker.Client) *broker.Refusal {
	if c.ID == "denied" {
		return &broker.Refusal{Code: broker.CodeNotAuthorized, Reason: "kept out", Label: "denied_client"}
	}
	return nil
}

// logged waits until a line of the log has all the texts.
func logged(t *testing.T, log *journal, texts ...string) {
	t.Helper()
	for end := time.Now().Add(raw.Patience); ; time.Sleep(2 * time.Millisecond) {
		for line := range strings.Lines(log.String()) {
			if containsAll(line, texts) {
				return
			}
		}
		if time.Now().After(end) {
			t.Fatalf("no line has all of %q:\n%s", texts, log)
		}
	}
}

// quoted is a value as the text handler writes it.
func quoted(s string) string {
	if s == "" || strings.Contains(s, " ") {
		return strconv.Quote(s)
	}
	return s
}

func containsAll(text string, parts []string) bool {
	for _, part := range parts {
		if !strings.Contains(text, part) {
			return false
		}
	}
	return true
}

// Each refusal is one line that tells the operator who was refused and why, and is counted.
func TestRefusalsAreLogged(t *testing.T) {
	t.Parallel()
	log := &journal{}
	s := start(t, broker.Options{Hooks: []any{keeper{}, quietly{}}, Logger: slog.New(slog.NewTextHandler(log, nil))})
	s.connect(login("of-bob", "bob", "open"))
	willing := func(id, topic string) raw.Connect {
		k := login(id, "ann", "open")
		k.Will = &raw.Will{Topic: topic, Payload: "gone"}
		return k
	}
	method := login("methodical", "ann", "open")
	method.Props = raw.Props{raw.Txt(raw.AuthMethod, "SCRAM")}
	token := "eyJhbGciOiJIUzI1NiJ9.e30.AAAA"
	for _, tt := range []struct {
		k           raw.Connect
		user, label string
		reason      string
	}{
		{raw.Connect{Version: raw.V5, ID: "nobody", Clean: true}, "", "no_credentials", "no valid credentials"},
		{raw.Connect{Version: raw.V5, ID: "named", Clean: true, User: ptr("ann")}, "ann", "no_credentials", "no valid credentials"},
		{raw.Connect{Version: raw.V5, ID: "token", Clean: true, User: &token}, "(not shown)", "no_credentials", "no valid credentials"},
		{login("wrong", "ann", "shut"), "ann", "bad_password", "wrong password"},
		{login("broken", "ann", "broken"), "ann", "unavailable", "not available"},
		{willing("will", "not/mine"), "ann", "will_not_authorized", "may not publish"},
		{willing("will-of-sys", "$SYS/x"), "ann", "will_topic", "will topic"},
		{willing("will-of-all", "mine/#"), "ann", "will_topic", "will topic"},
		{login("of-bob", "ann", "open"), "ann", "client_id_of_another", "another user"},
		{login("denied", "ann", "open"), "ann", "denied_client", "kept out"},
		{method, "ann", "bad_auth_method", "unsupported authentication method"},
	} {
		t.Run(tt.k.ID, func(t *testing.T) {
			before := s.Stats().Auth[tt.label]
			c := s.dial(tt.k.Version)
			c.SendConnect(tt.k)
			if got := c.Expect(raw.CONNACK); got.Code == 0 {
				t.Fatal("let in")
			}
			logged(t, log, `msg="client refused"`, "client="+tt.k.ID, "user="+quoted(tt.user), "remote=", tt.reason)
			if n := strings.Count(log.String(), "client="+tt.k.ID+" user="+quoted(tt.user)); n != 1 {
				t.Errorf("%d lines", n)
			}
			if got := s.Stats().Auth[tt.label] - before; got != 1 {
				t.Errorf("counted %d times as %s", got, tt.label)
			}
		})
	}
	if strings.Contains(log.String(), token) {
		t.Error("a token is in the log")
	}
}

// What a client may not do is logged as well: MQTT 3.1.1 tells a publisher nothing.
func TestDeniedTopicsAreLogged(t *testing.T) {
	t.Parallel()
	log := &journal{}
	s := start(t, broker.Options{Hooks: []any{keeper{}, quietly{}}, Logger: slog.New(slog.NewTextHandler(log, nil))})
	k := login("c", "ann", "open")
	k.Version = raw.V311
	c := s.connect(k)
	c.Send(raw.Publish{Topic: "theirs", Payload: "x"}.Bytes(raw.V311))
	c.Subscribe(1, "secret")
	logged(t, log, "publish not authorized", "client=c", "user=ann", "topic=theirs", "remote=")
	logged(t, log, "subscribe not authorized", "client=c", "user=ann", "topic=secret", "remote=")
}

var suppressedOf = regexp.MustCompile(`suppressed=(\d+)`)

// A flood of refusals writes few short lines, which account for all of them.
func TestFloodOfRefusalsIsLoggedSparingly(t *testing.T) {
	t.Parallel()
	const flood = 300
	log := &journal{}
	b, err := broker.New(broker.Options{Hooks: []any{keeper{}}, Logger: slog.New(slog.NewTextHandler(log, nil)), Shards: 2})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	s := &server{Broker: b, t: t}
	addr := s.listen(broker.Conn{Listener: "tcp"}, func(c net.Conn) net.Conn { return c })
	for i := range flood {
		c := raw.New(t, s.conn(addr), raw.V5)
		c.SendConnect(login(fmt.Sprint(i, strings.Repeat("é", 30_000)), "ann", "shut"))
		c.Expect(raw.CONNACK)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	text := log.String()
	told := strings.Count(text, "client refused")
	for _, m := range suppressedOf.FindAllStringSubmatch(text, -1) {
		n, _ := strconv.Atoi(m[1])
		told += n
	}
	if told != flood || len(text) > 50_000 {
		t.Errorf("%d of %d refusals are accounted for in %d bytes:\n%s", told, flood, len(text), text)
	}
}
