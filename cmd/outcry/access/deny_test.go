package access

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
	"github.com/outcry-mqtt/outcry/cmd/outcry/outcrytest"
)

func TestDenyEditsTheFile(t *testing.T) {
	t.Chdir(t.TempDir())
	outcrytest.WriteConfig(t, ".", "auth: {deny_file: deny}\n")
	for _, args := range []string{"add user bob --note left", "add token t-1 --for 1h", "add client kiosk", "remove client kiosk"} {
		if status, _, stderr := outcrytest.Call(t, "", append([]string{"deny"}, strings.Fields(args)...)...); status != 0 {
			t.Fatalf("%s: %s", args, stderr)
		}
	}
	_, list, _ := outcrytest.Call(t, "", "deny", "list")
	if !strings.HasPrefix(list, "user bob # left\ntoken t-1 until 20") || strings.Count(list, "\n") != 2 {
		t.Errorf("list %q", list)
	}
	if status, _, stderr := outcrytest.Call(t, "", "check"); status != 0 {
		t.Error(stderr)
	}
}

func TestDenyRefuses(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, tt := range []struct{ args, want string }{
		{"add user bob", "set auth.deny_file"},
		{"add user", "write outcry deny add user|token|client NAME"},
		{"add room lobby --file deny", "write user, token or client"},
		{"add user bob --for 0s --file deny", "want a time"},
		{"remove user bob --file deny", "no such file"},
		{"list --file deny", "no such file"},
		{"list bob --file deny", "unknown command"},
		{"ad user bob", "did you mean add"},
	} {
		status, _, stderr := outcrytest.Call(t, "", append([]string{"deny"}, strings.Fields(tt.args)...)...)
		if status != 1 || !strings.Contains(stderr, tt.want) {
			t.Errorf("%s: status %d, error %q, want %q", tt.args, status, stderr, tt.want)
		}
	}
	if status, _, stderr := outcrytest.Call(t, "", "check", "--set", "auth.deny_file=deny"); status != 1 || !strings.Contains(stderr, "auth.deny_file") {
		t.Errorf("check with a file that is missing: status %d, %s", status, stderr)
	}
}

// outcry deny disconnects connected clients; a broken file admits nobody.
func TestDenyTakesEffectAtOnce(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "deny")
	deny := func(args ...string) {
		t.Helper()
		if status, _, stderr := outcrytest.Call(t, "", append(append([]string{"deny"}, args...), "--file", file)...); status != 0 {
			t.Fatal(stderr)
		}
	}
	deny("add", "user", "nobody")
	outcrytest.WriteConfig(t, dir, "auth: {deny_file: deny}\n")
	p := outcrytest.StartServe(t, dir)
	token := p.Token("--user", "alice", "--claim", "jti=t-1")
	hello := raw.Connect{Version: raw.V5, ID: "a", Clean: true, Password: &token}
	dial := func() *raw.Client {
		c, err := net.Dial("tcp", p.Addresses["tcp"])
		if err != nil {
			t.Fatal(err)
		}
		return raw.New(t, c, raw.V5)
	}
	alice := dial()
	alice.Connect(hello)
	deny("add", "token", "t-1", "--for", "1h")
	if got := alice.Expect(raw.DISCONNECT); got.Code != 0x87 {
		t.Errorf("%v, want 0x87", got)
	}
	alice.ExpectClosed()
	refused := func(when string) {
		t.Helper()
		again := dial()
		again.SendConnect(hello)
		if got := again.Expect(raw.CONNACK); got.Code != 0x87 {
			t.Errorf("%s: %v, want 0x87", when, got)
		}
	}
	refused("denied")
	if err := os.WriteFile(file, []byte("oops\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.HangUp("reload refused, the old one stays in use", `part="deny file"`, "deny:1:")
	refused("with a broken file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p.HangUp("msg=reloaded", "whole=true")
	dial().Connect(hello)
	p.Stop()
}

// TestDenyEndsWhatWasLeftBehind denies a user with a delayed will and a queued session: both are removed. The same
// holds for a user denied while the broker is down.
func TestDenyEndsWhatWasLeftBehind(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "deny")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	outcrytest.WriteConfig(t, dir, `auth: {deny_file: deny}
rules: [{access: allow, actions: [], who: ["*"], topics: ["#"]}]
`)
	p := outcrytest.StartServe(t, dir)
	connect := func(user string) *raw.Client {
		token := p.Token("--user", user)
		c, err := net.Dial("tcp", p.Addresses["tcp"])
		if err != nil {
			t.Fatal(err)
		}
		client := raw.New(t, c, raw.V5)
		client.Connect(raw.Connect{Version: raw.V5, ID: user, Password: &token, Props: raw.Props{raw.Num(raw.SessionExpiry, 3600)},
			Will: &raw.Will{Topic: "wills/" + user, Payload: "gone", Retain: true, Props: raw.Props{raw.Num(raw.WillDelay, 2)}}})
		return client
	}
	deny := func(user string) {
		if status, _, stderr := outcrytest.Call(t, "", "deny", "add", "user", user, "--file", file); status != 0 {
			t.Fatal(stderr)
		}
	}
	connect("ann").Close()
	connect("bob").Close()
	connect("cid").Close()
	before := p.Stderr.After()
	deny("ann")
	p.Signal(syscall.SIGHUP)
	p.WaitFor(p.Stderr, before, "session ended", "client=ann")
	p.Stop()
	deny("bob")
	p = outcrytest.StartServe(t, dir)
	watch := connect("watch")
	watch.Send(raw.Subscribe{ID: 1, Filters: []raw.Filter{{Name: "wills/#"}}}.Bytes(raw.V5))
	for missing := map[raw.Type]bool{raw.SUBACK: true, raw.PUBLISH: true}; len(missing) > 0; { // in either order (MQTT 5 3.8.4)
		got, err := watch.Read()
		if err != nil || !missing[got.Type] || got.Type == raw.PUBLISH && got.Topic != "wills/cid" {
			t.Fatalf("got %v, %v", got, err)
		}
		delete(missing, got.Type)
	}
	watch.ExpectNothing()
	p.Stop()
}
