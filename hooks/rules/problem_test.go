package rules_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/hooks/rules"
)

func TestProblems(t *testing.T) {
	topics := func(source string) rules.Options { return only(allow("*", source)) }
	roomTopics := func(source string) rules.Options { return rules.Options{Rooms: []rules.Room{{Topics: source}}} }
	who := func(entry string) rules.Options { return only(allow(entry, "t")) }
	join := func(entry string) rules.Options {
		return rules.Options{Rooms: []rules.Room{{Topics: "chat/{room}/#", Join: []string{"*", entry}}}}
	}
	withClaims := func(name, value string) rules.Options {
		r := allow("*", "t")
		r.Claims = map[string]string{name: value}
		return only(r)
	}
	cases := []struct {
		name string
		o    rules.Options
		want string // Problem.String; empty: none
	}{
		{"default", rules.Default(), ""},
		{"nothing", rules.Options{}, ""},
		{"no action", only(rules.Rule{Who: []string{"*"}, Topics: []string{"t"}, Actions: []string{"publish", "read"}}),
			`rules[0].actions[1]: "read" is not an action; write publish or subscribe, or leave actions out for both`},
		{"no who", only(rules.Rule{Topics: []string{"t"}}),
			`rules[0].who: is empty; write who: ["*"] for every client with a user name`},
		{"no topics", only(rules.Rule{Who: []string{"*"}}),
			`rules[0].topics: is empty; write topics: ["#"] for all but those of the server`},
		{"bare name", who("ann"), `rules[0].who[0]: "ann" matches no client; for the user ann write user:ann`},
		{"empty who", who(""), `rules[0].who[0]: "" matches no client; write one of *, anonymous, user:NAME, claim:NAME=VALUE`},
		{"unknown kind", who("group:x"), `rules[0].who[0]: "group:x" matches no client; write one of *, anonymous, user:NAME, claim:NAME=VALUE`},
		{"no user", who("user:"), `rules[0].who[0]: "user:" matches no client; write one of *, anonymous, user:NAME, claim:NAME=VALUE`},
		{"member claim in a rule", who("claim:rooms"), `rules[0].who[0]: "claim:rooms" has no claim name or value; ` +
			`write claim:NAME=VALUE; for a claim with a list of names write {claim.NAME} in a rule's topics, or claim:NAME in a room`},
		{"claim without value", join("claim:rooms="), `rooms[0].join[1]: "claim:rooms=" has no claim name or value; ` +
			`write claim:NAME=VALUE; for a claim with a list of names write {claim.NAME} in a rule's topics, or claim:NAME in a room`},
		{"condition without value", withClaims("role", ""), `rules[0].claims.role: has no name or value; write NAME: VALUE`},
		{"empty topic", topics(""), `rules[0].topics[0]: is empty; write a topic filter, such as ticker/#`},
		{"long topic", topics(strings.Repeat("a", 65536)), `rules[0].topics[0]: is 65536 bytes long; a topic has at most 65535`},
		{"NUL", topics("a\x00"), `rules[0].topics[0]: "a\x00" is not UTF-8 without NUL`},
		{"ill-formed", topics("\xff"), `rules[0].topics[0]: "\xff" is not UTF-8 without NUL`},
		{"# in the middle", topics("a/#/b"),
			`rules[0].topics[0]: "a/#/b": # is not the last level; end the filter with it, or use + for one level`},
		{"wildcard in a text", topics("a/b+"),
			`rules[0].topics[0]: "a/b+": the wildcard in "b+" is not alone; a wildcard takes a whole level`},
		{"shared", topics("$share/g/t"),
			`rules[0].topics[0]: "$share/g/t" is a shared subscription; write only the filter after $share/GROUP/: rules apply to both kinds of subscription`},
		{"unknown placeholder", topics("a/{room}"),
			`rules[0].topics[0]: "a/{room}": unknown placeholder {room}; write {client}, {user} or {claim.NAME}`},
		{"claim without name", topics("a/{claim.}"),
			`rules[0].topics[0]: "a/{claim.}": unknown placeholder {claim.}; write {client}, {user} or {claim.NAME}`},
		{"placeholder in a text", topics("a/dev-{client}"),
			`rules[0].topics[0]: "a/dev-{client}": "dev-{client}" is not one placeholder; a placeholder takes a whole level: devices/{client}/#`},
		{"open brace", topics("a/{client/x"),
			`rules[0].topics[0]: "a/{client/x": "{client/x" is not one placeholder; a placeholder takes a whole level: devices/{client}/#`},
		{"claim twice", topics("{claim.a}/{claim.a}"), `rules[0].topics[0]: "{claim.a}/{claim.a}" has {claim.a} twice; use each claim once`},
		{"two claims", topics("{claim.a}/{claim.b}/{client}/{client}"), ""},
		{"claim with a slash", topics("{claim.https://x/y}/z"), ""},
		{"two rooms", roomTopics("{a}/{b}"), `rooms[0].topics: "{a}/{b}" has two room placeholders; use one placeholder, and + for any other level`},
		{"nameless room", roomTopics("a/{}"), `rooms[0].topics: "a/{}": {} has no name; write {room}`},
		{"room of users", roomTopics("a/{user}"),
			`rooms[0].topics: "a/{user}": {user} cannot be a room's name; write a rule, or call the placeholder {room}`},
		{"room without topics", roomTopics(""), `rooms[0].topics: is empty; write a topic filter, such as ticker/#`},
		{"claim and no room", rules.Options{Rooms: []rules.Room{{Topics: "news/#", Speak: []string{"claim:rooms"}}}},
			`rooms[0].speak[0]: "news/#" has no {room} to compare with the claim; name the room in topics: chat/{room}/#`},
		{"no rate", only(rules.Rule{Allow: true, Who: []string{"*"}, Topics: []string{"t"}, MaxRate: -1}),
			`rules[0].max_rate: -1 is not a rate; write messages a second, such as 2 or 0.5`},
		{"rate of publishing", only(rules.Rule{Allow: true, Actions: []string{"publish"}, Who: []string{"*"}, Topics: []string{"t"}, MaxRate: 1}),
			`rules[0].max_rate: limits subscriptions, but the rule applies to publishing only; remove it, or the actions`},
		{"no QoS", only(upTo(3, allow("*", "t"))), `rules[0].max_qos: 3 is not a QoS; write 0, 1 or 2`},
		{"limits of a denial", only(unretained(deny("*", "t"))),
			`rules[0].access: a rule that denies has limits; remove max_qos, retain and max_rate, or write access: allow`},
		{"no QoS of a room", rules.Options{Rooms: []rules.Room{{Topics: "t", MaxQoS: new(byte(3))}}}, `rooms[0].max_qos: 3 is not a QoS; write 0, 1 or 2`},
		{"no policy", rules.Options{Rooms: []rules.Room{{Topics: "t", Queue: broker.QueuePolicy(7)}}},
			`rooms[0].queue: is not a policy; write drop-oldest, conflate or disconnect`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := rules.Check(c.o).Error(); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	_, err := rules.New(rules.Options{
		Rules: []rules.Rule{allow("*", "fine"), {Actions: []string{"x"}, Who: []string{"y"}, Topics: []string{"ok", "#/z"},
			Claims: map[string]string{"b": "", "a": ""}}},
		Rooms: []rules.Room{{Topics: "a/{room}", Join: []string{"nobody"}, Speak: []string{"claim:rooms", "claim:"}}},
	})
	problems, ok := errors.AsType[rules.Problems](err)
	if !ok {
		t.Fatalf("the error is a %T", err)
	}
	var paths []string
	for _, p := range problems {
		paths = append(paths, p.Path)
	}
	want := []string{"rules[1].actions[0]", "rules[1].who[0]", "rules[1].claims.a", "rules[1].claims.b", "rules[1].topics[1]",
		"rooms[0].join[0]", "rooms[0].speak[1]"}
	if !slices.Equal(paths, want) {
		t.Errorf("got %q\nwant %q", paths, want)
	}
	if lines := strings.Count(err.Error(), "\n") + 1; lines != len(want) {
		t.Errorf("the error has %d lines, not %d", lines, len(want))
	}
}
