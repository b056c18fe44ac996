package rules_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/hooks/rules"
)

// withACL returns a user with this JSON as claim acl.
func withACL(tb testing.TB, acl string) *broker.Client {
	tb.Helper()
	var value any
	if err := json.Unmarshal([]byte(acl), &value); err != nil {
		tb.Fatal(err)
	}
	return user("ann", claims{"acl": value, "site": "north"})
}

// A client's own rules come after the operator's and before the rooms.
func TestOwnRules(t *testing.T) {
	o := rules.Options{
		ACLClaim: "acl",
		Rules:    []rules.Rule{deny("*", "top/secret"), allow("*", "open/#", "subscribe")},
		Rooms:    []rules.Room{{Topics: "news/#", Join: []string{"*"}, Speak: []string{"*"}}},
	}
	ann := withACL(t, `[
		{"access": "deny", "actions": ["publish"], "topics": ["news/#"]},
		{"access": "deny", "topics": ["open/x"]},
		{"access": "allow", "actions": ["publish"], "topics": ["top/#", "dev/{client}/up"], "max_qos": 1, "retain": false},
		{"access": "allow", "topics": ["{claim.site}/+", "$SYS/load/#"]}
	]`)
	check(t, o, []decision{
		{ann, pub, "top/secret", false},
		{ann, pub, "top/x", true},
		{ann, sub, "top/x", false},
		{ann, sub, "open/x", true}, // the operator's rule comes first
		{ann, pub, "news/x", false},
		{ann, sub, "news/x", true},
		{ann, pub, "dev/ann-1/up", true},
		{ann, pub, "dev/bob-1/up", false},
		{ann, sub, "north/+", true},
		{ann, deliver, "north/x", true},
		{ann, sub, "north/#", false},
		{ann, sub, "$SYS/load/+", true},
		{ann, sub, "$SYS/#", false},
		{user("bob", nil), pub, "top/x", false},
		{user("bob", nil), pub, "news/x", true},
	})
	a := mustNew(t, o)
	if g := a.Grant(ann, pub, "top/x"); g.MaxQoS != 1 || g.Retain {
		t.Errorf("the limits of an own rule: %+v", g)
	}
	want := "claims.acl[2] allows QoS 1 at most: top/# for the client"
	if d := a.Explain(ann, rules.Question{Action: pub, Topic: "top/x", QoS: 2}); d.Path != "claims.acl[2]" || d.Reason != want {
		t.Errorf("explained as %+v", d)
	}
	o.ACLClaim = "" // the default
	check(t, o, []decision{{ann, pub, "top/x", false}, {ann, pub, "news/x", true}})
}

// Invalid own rules could have been a limit: such a client is refused, and gets no rooms.
func TestOwnRulesThatAreBroken(t *testing.T) {
	a := mustNew(t, rules.Options{
		ACLClaim: "acl",
		Rules:    []rules.Rule{allow("*", "open")},
		Rooms:    []rules.Room{{Topics: "news/#", Join: []string{"*"}, Speak: []string{"*"}}},
	})
	for acl, want := range map[string]string{
		`"deny all"`:                             "the claim acl is not a list of rules",
		`null`:                                   "the claim acl is not a list of rules",
		`{"access": "deny", "topics": ["#"]}`:    "the claim acl is not a list of rules",
		`["deny"]`:                               "claims.acl[0]: is not an object with access, actions and topics",
		`[{"topics": ["a"]}]`:                    "claims.acl[0]: has no access; write allow or deny",
		`[{"access": "maybe", "topics": ["a"]}]`: "claims.acl[0]: access has an invalid value",
		`[{"access": "allow", "topics": ["a"]}, {"access": "deny"}]`:                          "claims.acl[1].topics: is empty; write topics: [\"#\"] for all but those of the server",
		`[{"access": "allow", "topics": "a"}]`:                                                "claims.acl[0]: topics has an invalid value",
		`[{"access": "allow", "topics": [1]}]`:                                                "claims.acl[0]: topics has an invalid value",
		`[{"access": "allow", "topics": ["a/#/b"]}]`:                                          "claims.acl[0].topics[0]: \"a/#/b\": # is not the last level; end the filter with it, or use + for one level",
		`[{"access": "allow", "topics": ["a"], "actions": ["read"]}]`:                         "claims.acl[0].actions[0]: \"read\" is not an action; write publish or subscribe, or leave actions out for both",
		`[{"access": "allow", "topics": ["a"], "actions": []}]`:                               "claims.acl[0]: actions has an invalid value",
		`[{"access": "allow", "topics": ["a"], "max_qos": 3}]`:                                "claims.acl[0]: max_qos has an invalid value",
		`[{"access": "allow", "topics": ["a"], "max_rate": 0}]`:                               "claims.acl[0]: max_rate has an invalid value",
		`[{"access": "allow", "topics": ["a"], "max_qos": "1"}]`:                              "claims.acl[0]: max_qos has an invalid value",
		`[{"access": "allow", "topics": ["a"], "retain": "no"}]`:                              "claims.acl[0]: retain has an invalid value",
		`[{"access": "allow", "topics": ["a"], "only_on": "sundays"}]`:                        "claims.acl[0]: unknown key \"only_on\"; known are access, actions, topics, max_qos, retain and max_rate",
		`[{"access": "deny", "topics": ["a"], "max_qos": 1}]`:                                 "claims.acl[0].access: a rule that denies has limits; remove max_qos, retain and max_rate, or write access: allow",
		fmt.Sprintf(`[{"access": "allow", "topics": ["a"%s]}]`, strings.Repeat(`, "a"`, 256)): "the claim acl has more than 256 topics",
	} {
		ann := withACL(t, acl)
		refusal := a.Admit(ann)
		if refusal == nil || refusal.Code != 0x87 || refusal.Label != "bad_acl" || refusal.Reason != want {
			t.Errorf("%.80s: refused with %+v, want %s", acl, refusal, want)
		}
		if a.Authorize(ann, pub, "news/x") || a.Authorize(ann, sub, "a") || !a.Authorize(ann, pub, "open") {
			t.Errorf("%.80s: the rooms are open, or a rule before is not", acl)
		}
		if d := a.Explain(ann, rules.Question{Action: pub, Topic: "news/x"}); d.Allow || !strings.HasSuffix(d.Reason, want) {
			t.Errorf("%.80s: explained as %+v", acl, d)
		}
	}
	for _, fine := range []string{`[]`, `[{"access": "allow", "topics": ["a"], "max_qos": 0, "retain": true, "max_rate": 0.5}]`} {
		if refusal := a.Admit(withACL(t, fine)); refusal != nil {
			t.Errorf("%s: %v", fine, refusal)
		}
	}
}

// A cached result is never used for another claim or another identity.
func TestOwnRulesFollowTheConfiguration(t *testing.T) {
	ann := user("ann", claims{
		"one": []any{map[string]any{"access": "allow", "topics": []any{"a"}}},
		"two": []any{map[string]any{"access": "allow", "topics": []string{"b"}}},
	})
	a := mustNew(t, rules.Options{ACLClaim: "one"})
	for _, step := range []struct {
		claim string
		a, b  bool
	}{{"one", true, false}, {"two", false, true}, {"", false, false}, {"one", true, false}} {
		if err := a.Update(rules.Options{ACLClaim: step.claim}); err != nil {
			t.Fatal(err)
		}
		if got, got2 := a.Authorize(ann, pub, "a"), a.Authorize(ann, pub, "b"); got != step.a || got2 != step.b {
			t.Errorf("claim %q: a %v, b %v", step.claim, got, got2)
		}
	}
	if a.Authorize(user("ann", nil), pub, "a") {
		t.Error("another identity of the same user has the rules, too")
	}
}

// FuzzOwnRules checks that no claim panics, and that invalid ones grant no more than the operator's rules.
func FuzzOwnRules(f *testing.F) {
	addCorpus(f)
	for _, acl := range []string{
		`[{"access":"allow","topics":["a/{client}/#"],"actions":["publish"],"max_qos":1,"retain":false}]`,
		`[{"access":"deny","topics":["#"]}]`, `[[]]`, `{"a":1}`, `[{"access":{},"topics":{}}]`, `[{"max_qos":1e99}]`,
	} {
		f.Add(acl, "a/ann-1/b")
	}
	a, err := rules.New(rules.Options{ACLClaim: "acl", Rooms: []rules.Room{{Topics: "#", Join: []string{"*"}}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, acl, topic string) {
		var value any
		if json.Unmarshal([]byte(acl), &value) != nil {
			t.Skip()
		}
		ann := user("ann", claims{"acl": value})
		refused := a.Admit(ann) != nil
		for _, action := range []broker.Action{pub, sub, deliver} {
			if a.Authorize(ann, action, topic) && refused {
				t.Errorf("%s %q is allowed to a client that is refused", action, topic)
			}
		}
	})
}
