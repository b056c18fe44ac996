package server

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
	"github.com/outcry-mqtt/outcry/cmd/outcry/outcrytest"
)

func TestHangUpReReadsTheRules(t *testing.T) {
	dir := t.TempDir()
	outcrytest.WriteConfig(t, dir, "rules: []\n")
	p := outcrytest.StartServe(t, dir)
	alice := p.Token("--user", "alice")
	mayPublish := func() bool {
		status, _, _ := p.Client("pub", alice, "-t", "news/today", "-m", "x", "-q", "1")
		return status == 0
	}
	if mayPublish() {
		t.Fatal("alice may publish without a rule")
	}
	outcrytest.WriteConfig(t, dir, outcrytest.AliceMaySpeak)
	p.HangUp("msg=reloaded", "whole=true")
	if !mayPublish() {
		t.Error("the new rules do not hold")
	}
	outcrytest.WriteConfig(t, dir, "rules:\n  - {access: maybe}\n")
	p.HangUp("reload refused, the old one stays in use", "config.yaml:2:14: rules[0].access")
	if !mayPublish() {
		t.Error("the old rules do not hold any more")
	}
	outcrytest.WriteConfig(t, dir, outcrytest.AliceMaySpeak+"log: {level: debug}\nhttp: {address: '127.0.0.1:1'}\nlimits: {max_inflight: 7}\n")
	after := p.Stderr.After()
	p.HangUp("takes effect at the next start", "key=limits.max_inflight", "config.yaml:5:24")
	p.WaitFor(p.Stderr, after, "msg=reloaded")
	if log := p.Stderr.String(); strings.Contains(log, "key=http.address") || strings.Contains(log, "key=log.level") {
		t.Errorf("a flag's key, or one that was taken over, is told of:\n%s", log)
	}
	p.Stop()
}

func TestHangUpReReadsThePasswordFile(t *testing.T) {
	dir := t.TempDir()
	users := filepath.Join(dir, "users")
	setPassword := func(user string) {
		t.Helper()
		if status, _, stderr := outcrytest.Call(t, "correct horse\n", "passwd", users, user, "--stdin"); status != 0 {
			t.Fatal(stderr)
		}
	}
	setPassword("bob")
	outcrytest.WriteConfig(t, dir, "auth: {password_file: users}\n"+strings.ReplaceAll(outcrytest.AliceMaySpeak, "user:alice", "*"))
	p := outcrytest.StartServe(t, dir)
	mayConnect := func(user string) bool {
		status, _, _ := p.Client("pub", "correct horse", "-u", user, "-t", "news/today", "-m", "x", "-q", "1")
		return status == 0
	}
	if !mayConnect("bob") || mayConnect("carol") {
		t.Fatal("the password file does not hold")
	}
	setPassword("carol")
	p.HangUp("msg=reloaded", "whole=true")
	if !mayConnect("carol") {
		t.Error("the new user may not connect")
	}
	if err := os.WriteFile(users, []byte("carol:oops\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.HangUp("reload refused, the old one stays in use", `part="password file"`, "users:1:")
	if !mayConnect("bob") {
		t.Error("the old users may not connect any more")
	}
}

func TestHangUpLetsUsersTakeOver(t *testing.T) {
	dir := t.TempDir()
	outcrytest.WriteConfig(t, dir, "auth: {anonymous: true}\n")
	p := outcrytest.StartServe(t, dir)
	connect := func(user, password *string) byte {
		t.Helper()
		conn, err := net.Dial("tcp", p.Addresses["tcp"])
		if err != nil {
			t.Fatal(err)
		}
		c := raw.New(t, conn, raw.V311)
		defer c.Close()
		c.SendConnect(raw.Connect{Version: raw.V311, ID: "device", User: user, Password: password})
		return c.Expect(raw.CONNACK).Code
	}
	user, token := "alice", p.Token("--user", "alice")
	if code := connect(nil, nil); code != 0 {
		t.Fatalf("anonymous: %d", code)
	}
	if code := connect(&user, &token); code != 2 {
		t.Errorf("alice gets %d for the identifier of an anonymous client", code)
	}
	p.WaitFor(p.Stderr, 0, "client refused", "client=device", "auth.anonymous_sessions: takeover")
	outcrytest.WriteConfig(t, dir, "auth: {anonymous: true, anonymous_sessions: takeover}\n")
	p.HangUp("msg=reloaded", "whole=true")
	if code := connect(&user, &token); code != 0 {
		t.Errorf("alice gets %d when she may take over", code)
	}
}

func TestHangUpReReadsTheSecret(t *testing.T) {
	dir := t.TempDir()
	outcrytest.WriteConfig(t, dir, outcrytest.AliceMaySpeak)
	p := outcrytest.StartServe(t, dir)
	secret := filepath.Join(dir, "data", "secret")
	mayConnect := func(token string) bool {
		status, _, _ := p.Client("pub", token, "-t", "news/today", "-m", "x", "-q", "1")
		return status == 0
	}
	before := p.Token("--user", "alice")
	if !mayConnect(before) {
		t.Fatal("the token is not accepted")
	}
	if err := os.WriteFile(secret, []byte("another secret, of more than 32 bytes"), 0o600); err != nil {
		t.Fatal(err)
	}
	after := p.Token("--user", "alice")
	p.HangUp("msg=reloaded", "whole=true")
	if mayConnect(before) || !mayConnect(after) {
		t.Error("the new secret does not hold")
	}
	if err := os.WriteFile(secret, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.HangUp("reload refused, the old one stays in use", "part=keys", "secret")
	if !mayConnect(after) {
		t.Error("the old secret does not hold any more")
	}
}

// A reload ends a connected client's subscription, and removes queued messages from a durable session.
func TestHangUpEndsSubscriptions(t *testing.T) {
	dir := t.TempDir()
	everybody := "rules:\n  - {access: allow, who: ['*'], topics: [news/#, other/#]}\n"
	outcrytest.WriteConfig(t, dir, everybody)
	p := outcrytest.StartServe(t, dir)
	token := p.Token("--user", "alice")
	connect := func(id string, clean bool) *raw.Client {
		conn, err := net.Dial("tcp", p.Addresses["tcp"])
		if err != nil {
			t.Fatal(err)
		}
		c := raw.New(t, conn, raw.V311)
		c.Connect(raw.Connect{Version: raw.V311, ID: id, Clean: clean, User: new("alice"), Password: &token})
		return c
	}
	speaker, live, away := connect("speaker", true), connect("live", true), connect("away", false)
	live.Subscribe(0, "news/#", "other/#")
	away.Subscribe(1, "news/#", "other/#")
	away.Disconnect()
	speaker.Publish(raw.Publish{Topic: "news/today", Payload: "1", QoS: 1})
	live.ExpectPublish("news/today", "1")

	outcrytest.WriteConfig(t, dir, strings.ReplaceAll(everybody, "news/#, ", "")+"  - {access: allow, actions: [publish], who: ['*'], topics: [news/#]}\n")
	p.HangUp("msg=reloaded", "whole=true")
	p.Until("the live subscription has ended", func() bool { return p.Metric("outcry_broker_subscriptions") == 3 })
	speaker.Publish(raw.Publish{Topic: "news/today", Payload: "2", QoS: 1})
	speaker.Publish(raw.Publish{Topic: "other/today", Payload: "3", QoS: 1})
	live.ExpectPublish("other/today", "3")
	live.ExpectNothing()
	away = connect("away", false)
	away.Send(raw.Ack(raw.PUBACK, away.ExpectPublish("other/today", "3").ID))
	away.ExpectNothing()
	p.Stop()
}

// A reload applies live limits to connected clients without disconnecting them, and warns of the others.
func TestHangUpReReadsTheLimits(t *testing.T) {
	dir := t.TempDir()
	outcrytest.WriteConfig(t, dir, outcrytest.AliceMaySpeak)
	p := outcrytest.StartServe(t, dir)
	token := p.Token("--user", "alice")
	dial := func() *raw.Client {
		conn, err := net.Dial("tcp", p.Addresses["tcp"])
		if err != nil {
			t.Fatal(err)
		}
		return raw.New(t, conn, raw.V311)
	}
	hello := func(id string) raw.Connect {
		return raw.Connect{Version: raw.V311, ID: id, Clean: true, User: new("alice"), Password: &token}
	}
	first := dial()
	first.Connect(hello("first"))
	limit := func(text string) {
		t.Helper()
		outcrytest.WriteConfig(t, dir, outcrytest.AliceMaySpeak+"limits: {exempt: [], "+text+"}\n")
		p.HangUp("msg=reloaded", "whole=true")
	}
	limit("max_connections_per_address: 1")
	dial().ExpectClosed()
	limit("max_connections_per_address: 2, max_packet: 1MiB")
	if log := p.Stderr.String(); !strings.Contains(log, "key=limits.max_packet") || strings.Contains(log, "key=limits.max_connections_per_address") {
		t.Errorf("told of the wrong keys:\n%s", log)
	}
	second := dial()
	second.Connect(hello("second"))
	limit("message_rate: 0.01, message_burst: 1")
	second.Send(bytes.Repeat(raw.Publish{Topic: "news/today", Payload: "x"}.Bytes(raw.V311), 3), raw.Plain(raw.PINGREQ))
	p.WaitFor(p.Stderr, 0, "limit reached", "limit=message_rate")
	limit("message_rate: none")
	second.Expect(raw.PINGRESP)
	first.Send(raw.Plain(raw.PINGREQ))
	first.Expect(raw.PINGRESP)
	p.Stop()
}
