package rules_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/hooks/rules"
)

func TestExplain(t *testing.T) {
	o := rules.Default()
	boss := allow("*", "office/#")
	boss.Claims = map[string]string{"role": "boss", "at": "north"}
	o.Rules = append(o.Rules, deny("user:troll", "chat/lobby/#"), boss, allow("*", "dev/{client}/{user}/+/x"))
	a := mustNew(t, o)
	guest := user("guest", claims{"rooms": []any{"lobby"}})
	troll := user("troll", claims{"rooms": []any{"lobby"}})
	cases := []struct {
		name   string
		client *broker.Client
		action broker.Action
		topic  string
		want   rules.Decision
	}{
		{"a rule allows", user("root", claims{"admin": true}), sub, "$SYS/#", rules.Decision{
			Allow: true, Path: "rules[0]", Topics: "$SYS/#", Reason: "rules[0] allows it: $SYS/# for claim:admin=true"}},
		{"a room allows", guest, pub, "chat/lobby/say", rules.Decision{
			Allow: true, Path: "rooms[2].speak[0]", Topics: "chat/{room}/#",
			Reason: "rooms[2].speak[0] allows it: chat/{room}/# for claim:rooms"}},
		{"any room", guest, sub, "ticker/+", rules.Decision{
			Allow: true, Path: "rooms[0].join", Topics: "ticker/#", Reason: "rooms[0].join allows it: ticker/# for *"}},
		{"denied", troll, pub, "chat/lobby/say", rules.Decision{
			Path: "rules[2]", Topics: "chat/lobby/#", Reason: "rules[2] denies it: chat/lobby/# for user:troll"}},
		{"denied in part", troll, sub, "chat/+/say", rules.Decision{
			Path: "rules[2]", Topics: "chat/lobby/#", Reason: "rules[2] denies part of it: chat/lobby/# for user:troll"}},
		{"nothing near", guest, pub, "elsewhere", rules.Decision{Reason: "no rule allows it"}},
		{"for others", guest, pub, "ticker/ACME", rules.Decision{
			Reason: "no rule allows it; rooms[0].speak is nearest, but it applies to user:ticker"}},
		{"for others by claims", guest, pub, "office/door", rules.Decision{
			Reason: "no rule allows it; rules[3] is nearest, but it applies to * with at=north and role=boss"}},
		{"too wide", guest, sub, "chat/#", rules.Decision{
			Reason: "no rule allows it; rooms[2].join[0] is nearest, but chat/# matches more than chat/{room}/#"}},
		{"not in the list", guest, sub, "chat/secret/#", rules.Decision{
			Reason: "no rule allows it; rooms[2].join[0] is nearest, but chat/secret/# is not among chat/{claim.rooms}/#"}},
		{"another's", guest, pub, "dev/x/guest/1/x", rules.Decision{
			Reason: "no rule allows it; rules[4] is nearest, but dev/x/guest/1/x is not among dev/{client}/{user}/+/x"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := a.Explain(c.client, rules.Question{Action: c.action, Topic: c.topic})
			if got.Nearest != "" && !strings.Contains(got.Reason, got.Nearest+" is nearest") {
				t.Errorf("nearest is %q, but the reason %q", got.Nearest, got.Reason)
			}
			got.Passed, got.Nearest = nil, ""
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
			if a.Authorize(c.client, c.action, c.topic) != c.want.Allow {
				t.Error("Authorize decides otherwise")
			}
		})
	}
}

// Every rule evaluated before the deciding one has a reason.
func TestExplainPassed(t *testing.T) {
	boss := allow("*", "chat/#")
	boss.Claims = map[string]string{"role": "boss"}
	a := mustNew(t, rules.Options{
		ACLClaim: "acl",
		Rules: []rules.Rule{
			allow("*", "chat/#", "publish"), deny("user:troll", "chat/#"), boss, allow("*", "dev/{client}/#"), allow("*", "chat/lobby/say"),
		},
		Rooms: []rules.Room{{Topics: "chat/{room}/#", Join: []string{"claim:rooms"}}},
	})
	ann := user("ann", claims{"rooms": "lobby", "acl": []any{map[string]any{"access": "deny", "actions": []any{"publish"}, "topics": []any{"#"}}}})
	got := a.Explain(ann, rules.Question{Action: sub, Topic: "chat/lobby/+"})
	want := rules.Decision{
		Allow: true, Path: "rooms[0].join[0]", Topics: "chat/{room}/#",
		Reason: "rooms[0].join[0] allows it: chat/{room}/# for claim:rooms",
		Passed: []rules.Passed{
			{Path: "rules[0]", Reason: "it applies to publishing only"},
			{Path: "rules[1]", Reason: "it applies to user:troll"},
			{Path: "rules[2]", Reason: "it applies to * with role=boss"},
			{Path: "rules[3]", Reason: "its topics are dev/{client}/#"},
			{Path: "rules[4]", Reason: "chat/lobby/+ matches more than chat/lobby/say"},
			{Path: "claims.acl[0]", Reason: "it applies to publishing only"},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}
