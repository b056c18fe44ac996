package access

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/cmd/outcry/outcrytest"
)

const aclConfig = `auth: {anonymous: true}
rules:
  - access: deny
    who: ["*"]
    topics: [chat/secret/#]
  - access: allow
    who: ["*"]
    topics: ["dev/{client}/#"]
    max_qos: 1
    retain: false
rooms:
  - topics: chat/{room}/#
    join: ["claim:rooms"]
client_ids:
  - {who: ["*"], ids: ["{user}-*"]}
  - {who: ["anonymous"], ids: ["guest"]}
`

func TestACL(t *testing.T) {
	outcrytest.NewSecret(t)
	outcrytest.WriteConfig(t, ".", aclConfig)
	for _, tt := range []struct {
		args   string
		status int
		want   string
	}{
		{"--user ann --rooms lobby,x subscribe chat/lobby/#", 0,
			"allowed  rooms[0].join[0] allows it: chat/{room}/# for claim:rooms (config.yaml:13:12)"},
		{`--user ann --claim rooms=["lobby"] subscribe $share/workers/chat/lobby/+`, 0, "allowed  rooms[0].join[0] allows it"},
		{"--user ann --rooms lobby subscribe $share/workers/#", 1,
			"denied   rules[0] denies part of it: chat/secret/# for * (config.yaml:3:5)"},
		{"--user ann --rooms lobby subscribe chat/other/#", 1,
			"denied   no rule allows it; rooms[0].join[0] is nearest, but chat/other/# is not among chat/{claim.rooms}/# (config.yaml:13:12)"},
		{"--user ann subscribe chat/+", 1, "denied   rules[0] denies part of it"},
		{"--user ann -i ann-1 publish dev/ann-1/up --qos 1", 0, "allowed  rules[1] allows it: dev/{client}/# for * (config.yaml:6:5)"},
		{"--user ann -i ann-1 publish dev/ann-1/up --qos 2", 1, "denied   rules[1] allows QoS 1 at most"},
		{"--user ann -i ann-1 publish dev/ann-1/up --retain", 1, "denied   rules[1] allows it only if it is not retained"},
		{"--user ann -i ann-1 subscribe dev/ann-1/# -q 2", 0, "allowed  rules[1] allows it with QoS 1"},
		{"--user ann -i bob-1 publish dev/bob-1/up", 1, "denied   this user may not use this client identifier"},
		{"--user ann publish dev/ann-1/up", 1, "denied   no rule allows it; rules[1] is nearest"},
		{"--user ann -i ann-1 connect", 0, "allowed  client_ids[0] allows it: {user}-* for * (config.yaml:15:5)"},
		{"--user ann -i bob-1 connect", 1, "denied   this user may not"},
		{"--anonymous -i guest connect", 0, "allowed  client_ids[1] allows it"},
		{"--anonymous publish x", 1, "denied   no rule allows it"},
		{"--anonymous --set auth.anonymous=false publish x", 1, "denied   the client is refused: auth.anonymous is false"},
		{"--user ann publish $SYS/broker/connection/b/state", 1, "denied   no rule"},
		{"--user ann publish $SYS/x", 1, "denied   only the broker publishes below $SYS"},
		{"--user ann publish $me/dropped", 1, "denied   only the broker publishes below $me"},
		{"--user ann subscribe $me/#", 0, "allowed  any client may subscribe to the broker's notices about itself"},
		{"--user ann subscribe $me/dropped", 0, "allowed  any client may subscribe to the broker's notices about its lost messages"},
		{"--user ann subscribe $me/token", 0, "allowed  any client may subscribe to the broker's notices about the expiry of its token"},
		{"--user ann subscribe $me/subscriptions", 0, "allowed  any client may subscribe to the broker's notices about its ended subscriptions"},
		{"--user ann subscribe $share/g/$me/#", 1, "denied   a shared subscription cannot include $me"},
		{"--user ann publish $auth/token", 0, "allowed  any client may publish a fresh token to it"},
		{"--anonymous publish $auth/token -q 1", 0, "allowed  any client may publish a fresh token to it"},
		{"--user ann publish $auth/other", 1, "denied   no rule allows it"},
		{"--user ann subscribe $auth/token", 1, "denied   no rule allows it"},
		{"--user ann -i bob-1 publish $auth/token", 1, "denied   this user may not use this client identifier"},
		{"--user ann --set limits.max_topic_levels=3 publish a/b/c/d", 1, "denied   the topic has 4 levels; limits.max_topic_levels allows 3"},
		{"--user ann --set limits.max_topic=16 publish sixteen/and/more/", 1, "denied   the topic has 17 bytes; limits.max_topic allows 16"},
		{"--user ann publish a\x7fb", 1, "denied   the topic has a control character or a non-character; limits.control_characters refuses"},
		{"--user ann subscribe $share/a\x7fb/chat", 1, "denied   the topic has a control character or a non-character"},
		{"--user ann --set limits.control_characters=allow publish a\x7fb", 1, "denied   no rule allows it"},
	} {
		status, stdout, stderr := outcrytest.Call(t, "", append([]string{"acl", "test"}, strings.Fields(tt.args)...)...)
		if status != tt.status || !strings.HasPrefix(stdout, tt.want) || strings.Count(stdout, "\n") != 1 || stderr != "" {
			t.Errorf("%s: status %d, want %d\ngot  %s%s\nwant %s", tt.args, status, tt.status, stdout, stderr, tt.want)
		}
	}
}

func TestACLOfTheDenied(t *testing.T) {
	outcrytest.NewSecret(t)
	outcrytest.WriteConfig(t, ".", "auth: {deny_file: denied}\n")
	if status, _, stderr := outcrytest.Call(t, "", "deny", "add", "user", "bob"); status != 0 {
		t.Fatal(stderr)
	}
	for user, want := range map[string]string{"ann": "allowed  rooms[0].join", "bob": "denied   the client is refused: "} {
		if _, text, stderr := outcrytest.Call(t, "", "acl", "test", "--user", user, "subscribe", "ticker/#"); !strings.HasPrefix(text, want) {
			t.Errorf("%s: got %s%s, want %s", user, text, stderr, want)
		}
	}
	if status, _, stderr := outcrytest.Call(t, "", "acl", "test", "--user", "ann", "--set", "auth.deny_file=nowhere", "connect"); status != 2 {
		t.Errorf("without its deny list: status %d, %s", status, stderr)
	}
}

func TestACLThatCannotBeTold(t *testing.T) {
	outcrytest.NewSecret(t)
	for _, tt := range []struct{ args, want string }{
		{"publish x", "give the client with one of"},
		{"--user ann", "give an action"},
		{"--user ann read x", "give an action"},
		{"--user ann publish", "give an action"},
		{"--user ann publish a b", "give an action"},
		{"--user ann publish a/#", `"a/#": `},
		{"--user ann subscribe a/#/b", `"a/#/b": `},
		{"--user ann subscribe $share/g", `"$share/g": `},
		{"--user ann publish a --qos 3", "--qos 3: want 0, 1 or 2"},
		{"--user ann publish a --claim x", "--claim x: want NAME=VALUE"},
		{"--token x --rooms y publish a", "--claim and --rooms need --user"},
		{"--user ann --anonymous publish a", "give the client with one of"},
		{"--user ann --quos 1 publish a", "did you mean --qos?"},
		{"--user ann --set rules=x publish a", "rules: "},
		{"--token e30.e30.eA --set auth.jwt.secret_file=nowhere publish a", "the token cannot be checked: unknown, because its keys"},
	} {
		status, stdout, stderr := outcrytest.Call(t, "", append([]string{"acl", "test"}, strings.Fields(tt.args)...)...)
		if status != 2 || stdout != "" || !strings.Contains(stderr, tt.want) {
			t.Errorf("%s: status %d, output %q, error %q, want %q", tt.args, status, stdout, stderr, tt.want)
		}
	}
}

func TestACLOfTokens(t *testing.T) {
	outcrytest.NewSecret(t)
	good := outcrytest.MintToken(t, "--user", "ann", "--rooms", "lobby")
	test := func(token, stdin string) (int, string) {
		status, stdout, stderr := outcrytest.Call(t, stdin, "acl", "test", "--token", token, "subscribe", "chat/lobby/#")
		if strings.Contains(stdout+stderr, good) {
			t.Error("the token is in what is printed")
		}
		return status, stdout
	}
	if status, text := test(good, ""); status != 0 || !strings.HasPrefix(text, "allowed  rooms[2].join[0]") {
		t.Errorf("good: status %d, %s", status, text)
	}
	if status, text := test("-", good+"\n"); status != 0 {
		t.Errorf("good, by standard input: status %d, %s", status, text)
	}
	for name, bad := range map[string]string{
		"cut":      good[:len(good)-4],
		"no token": "hunter2",
	} {
		if status, text := test(bad, ""); status != 1 || !strings.HasPrefix(text, "denied   the client is refused: ") {
			t.Errorf("%s: status %d, %s", name, status, text)
		}
	}
}

// A token's own rules count only if the configuration names their claim.
func TestACLOfTokensWithRules(t *testing.T) {
	outcrytest.NewSecret(t)
	token := outcrytest.MintToken(t, "--user", "ann", "--claim", `may=[{"access":"allow","topics":["own/#"]}]`, "--claim", `acl=[{"access":"allow","topics":["#"]}]`)
	broken := outcrytest.MintToken(t, "--user", "ann", "--claim", `may=[{"acess":"allow","topics":["own/#"]}]`)
	for _, tt := range []struct {
		token string
		args  []string
		want  string
	}{
		{token, []string{"publish", "own/x"}, "denied   no rule allows it"},
		{token, []string{"publish", "own/x", "--set", "auth.jwt.rules_claim=may"}, "allowed  claims.acl[0] allows it: own/# for the client (the client's claims)"},
		{token, []string{"publish", "other", "--set", "auth.jwt.rules_claim=may"}, "denied   no rule allows it"},
		{token, []string{"publish", "other", "--set", "auth.jwt.rules_claim=acl"}, "allowed  claims.acl[0]"},
		{broken, []string{"publish", "own/x", "--set", "auth.jwt.rules_claim=may"}, `denied   claims.acl[0]: unknown key "acess"`},
	} {
		_, text, stderr := outcrytest.Call(t, "", append([]string{"acl", "test", "--token", tt.token}, tt.args...)...)
		if !strings.HasPrefix(text, tt.want) || stderr != "" {
			t.Errorf("%v: got %s%s, want %s", tt.args, text, stderr, tt.want)
		}
	}
}

func TestACLPrintsWhatWasPassed(t *testing.T) {
	outcrytest.NewSecret(t)
	outcrytest.WriteConfig(t, ".", aclConfig)
	ask := []string{"acl", "test", "--user", "ann", "--rooms", "lobby", "--client", "ann-1", "subscribe", "chat/lobby/#"}
	_, text, _ := outcrytest.Call(t, "", append(ask, "-v")...)
	want := `passed   rules[0]  config.yaml:3:5  its topics are chat/secret/#
passed   rules[1]  config.yaml:6:5  its topics are dev/{client}/#
allowed  rooms[0].join[0] allows it: chat/{room}/# for claim:rooms (config.yaml:13:12)
`
	if text != want {
		t.Errorf("got\n%swant\n%s", text, want)
	}
	_, text, _ = outcrytest.Call(t, "", append(ask, "--json", "--qos", "1")...)
	var got map[string]any
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	for key, want := range map[string]any{
		"allow": true, "action": "subscribe", "topic": "chat/lobby/#", "qos": 1.0, "granted_qos": 1.0, "user": "ann", "client": "ann-1",
		"rule": "rooms[0].join[0]", "at": "config.yaml:13:12", "topics": "chat/{room}/#",
	} {
		if got[key] != want {
			t.Errorf("%s is %v, want %v", key, got[key], want)
		}
	}
	if passed, _ := got["passed"].([]any); len(passed) != 2 {
		t.Errorf("passed: %v", got["passed"])
	}
}

func TestACLCompletion(t *testing.T) {
	if _, text, _ := outcrytest.Call(t, "", "__complete", "acl", "test", "--user", "x", ""); !strings.HasPrefix(text, "connect\t") || !strings.Contains(text, "\nsubscribe\t") {
		t.Errorf("acl test completes to %s", text)
	}
}
