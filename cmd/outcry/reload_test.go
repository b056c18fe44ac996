package main

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

const aliceMaySpeak = "rules:\n  - {access: allow, who: ['user:alice'], topics: [news/#]}\n"

func writeConfig(t *testing.T, dir, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// hangUp sends SIGHUP and waits for all of words on one line of the log.
func (p *process) hangUp(words ...string) {
	p.t.Helper()
	after := p.stderr.after()
	p.signal(syscall.SIGHUP)
	p.waitFor(p.stderr, after, words...)
}

func TestHangUpReReadsTheRules(t *testing.T) {
	dir := t.TempDir()
	writeConfig(t, dir, "rules: []\n")
	p := startServe(t, dir)
	alice := p.token("--user", "alice")
	mayPublish := func() bool {
		status, _, _ := p.client("pub", alice, "-t", "news/today", "-m", "x", "-q", "1")
		return status == 0
	}
	if mayPublish() {
		t.Fatal("alice may publish without a rule")
	}
	writeConfig(t, dir, aliceMaySpeak)
	p.hangUp("msg=reloaded", "whole=true")
	if !mayPublish() {
		t.Error("the new rules do not hold")
	}
	writeConfig(t, dir, "rules:\n  - {access: maybe}\n")
	p.hangUp("not reloaded, the old one stays", "config.yaml:2:14: rules[0].access")
	if !mayPublish() {
		t.Error("the old rules do not hold any more")
	}
	writeConfig(t, dir, aliceMaySpeak+"log: {level: debug}\nhttp: {address: '127.0.0.1:1'}\nlimits: {max_inflight: 7}\n")
	p.hangUp("takes effect at the next start only", "key=limits.max_inflight", "config.yaml:5:24")
	p.waitFor(p.stderr, 0, "msg=reloaded")
	if log := p.stderr.String(); strings.Contains(log, "key=http.address") || strings.Contains(log, "key=log.level") {
		t.Errorf("a flag's key, or one that was taken over, is told of:\n%s", log)
	}
	p.stop()
}

func TestHangUpReReadsThePasswordFile(t *testing.T) {
	dir := t.TempDir()
	users := filepath.Join(dir, "users")
	setPassword := func(user string) {
		t.Helper()
		if status, _, stderr := call(t, "correct horse\n", "passwd", users, user, "--stdin"); status != 0 {
			t.Fatal(stderr)
		}
	}
	setPassword("bob")
	writeConfig(t, dir, "auth: {password_file: users}\n"+strings.ReplaceAll(aliceMaySpeak, "user:alice", "*"))
	p := startServe(t, dir)
	mayConnect := func(user string) bool {
		status, _, _ := p.client("pub", "correct horse", "-u", user, "-t", "news/today", "-m", "x", "-q", "1")
		return status == 0
	}
	if !mayConnect("bob") || mayConnect("carol") {
		t.Fatal("the password file does not hold")
	}
	setPassword("carol")
	p.hangUp("msg=reloaded", "whole=true")
	if !mayConnect("carol") {
		t.Error("the new user may not connect")
	}
	if err := os.WriteFile(users, []byte("carol:oops\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.hangUp("not reloaded, the old one stays", `part="password file"`, "users:1:")
	if !mayConnect("bob") {
		t.Error("the old users may not connect any more")
	}
}

func TestHangUpReReadsTheSecret(t *testing.T) {
	dir := t.TempDir()
	writeConfig(t, dir, aliceMaySpeak)
	p := startServe(t, dir)
	secret := filepath.Join(dir, "data", "secret")
	mayConnect := func(token string) bool {
		status, _, _ := p.client("pub", token, "-t", "news/today", "-m", "x", "-q", "1")
		return status == 0
	}
	before := p.token("--user", "alice")
	if !mayConnect(before) {
		t.Fatal("the token is not accepted")
	}
	if err := os.WriteFile(secret, []byte(strings.Repeat("n", 40)), 0o600); err != nil {
		t.Fatal(err)
	}
	after := p.token("--user", "alice")
	p.hangUp("msg=reloaded", "whole=true")
	if mayConnect(before) || !mayConnect(after) {
		t.Error("the new secret does not hold")
	}
	if err := os.WriteFile(secret, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.hangUp("not reloaded, the old one stays", "part=keys", "secret")
	if !mayConnect(after) {
		t.Error("the old secret does not hold any more")
	}
}

// A reload takes a subscription from a live client, and from a durable session what waits for it.
func TestHangUpEndsSubscriptions(t *testing.T) {
	dir := t.TempDir()
	everybody := "rules:\n  - {access: allow, who: ['*'], topics: [news/#, other/#]}\n"
	writeConfig(t, dir, everybody)
	p := startServe(t, dir)
	token := p.token("--user", "alice")
	connect := func(id string, clean bool) *raw.Client {
		conn, err := net.Dial("tcp", p.addresses["tcp"])
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

	writeConfig(t, dir, strings.ReplaceAll(everybody, "news/#, ", "")+"  - {access: allow, actions: [publish], who: ['*'], topics: [news/#]}\n")
	p.hangUp("msg=reloaded", "whole=true")
	speaker.Publish(raw.Publish{Topic: "news/today", Payload: "2", QoS: 1})
	speaker.Publish(raw.Publish{Topic: "other/today", Payload: "3", QoS: 1})
	live.ExpectPublish("other/today", "3")
	live.ExpectNothing()
	away = connect("away", false)
	away.Send(raw.Ack(raw.PUBACK, away.ExpectPublish("other/today", "3").ID))
	away.ExpectNothing()
	p.stop()
}

// Limits that can change do so, for those who are there as well, who are not cut off for it; of others it is told.
func TestHangUpReReadsTheLimits(t *testing.T) {
	dir := t.TempDir()
	writeConfig(t, dir, aliceMaySpeak)
	p := startServe(t, dir)
	token := p.token("--user", "alice")
	dial := func() *raw.Client {
		conn, err := net.Dial("tcp", p.addresses["tcp"])
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
		writeConfig(t, dir, aliceMaySpeak+"limits: {exempt: [], "+text+"}\n")
		p.hangUp("msg=reloaded", "whole=true")
	}
	limit("max_connections_per_address: 1")
	dial().ExpectClosed()
	limit("max_connections_per_address: 2, max_packet: 1MiB")
	if log := p.stderr.String(); !strings.Contains(log, "key=limits.max_packet") || strings.Contains(log, "key=limits.max_connections_per_address") {
		t.Errorf("told of the wrong keys:\n%s", log)
	}
	second := dial()
	second.Connect(hello("second"))
	limit("message_rate: 0.01, message_burst: 1")
	second.Send(bytes.Repeat(raw.Publish{Topic: "news/today", Payload: "x"}.Bytes(raw.V311), 3), raw.Plain(raw.PINGREQ))
	p.waitFor(p.stderr, 0, "limit reached", "limit=message_rate")
	limit("message_rate: none")
	second.Expect(raw.PINGRESP)
	first.Send(raw.Plain(raw.PINGREQ))
	first.Expect(raw.PINGRESP)
	p.stop()
}
