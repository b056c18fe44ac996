package rules_test

import (
	"encoding/json"
	"sync"
	"testing"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/hooks/rules"
)

func mustNew(tb testing.TB, o rules.Options) *rules.Authorizer {
	tb.Helper()
	a, err := rules.New(o)
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

type claims = map[string]any

func user(name string, c claims) *broker.Client {
	return &broker.Client{ID: name + "-1", Identity: &broker.Identity{User: name, Claims: c, Method: "jwt"}}
}

func withID(id string) *broker.Client {
	return &broker.Client{ID: id, Identity: &broker.Identity{User: "ann"}}
}

var nobody = &broker.Client{ID: "n-1", Identity: &broker.Identity{Method: "anonymous"}}

func allow(who, topic string, actions ...string) rules.Rule {
	return rules.Rule{Allow: true, Actions: actions, Who: []string{who}, Topics: []string{topic}}
}

func deny(who, topic string, actions ...string) rules.Rule {
	return rules.Rule{Actions: actions, Who: []string{who}, Topics: []string{topic}}
}

func only(list ...rules.Rule) rules.Options { return rules.Options{Rules: list} }

// decision is a question to an Authorizer and the expected answer.
type decision struct {
	client *broker.Client
	action broker.Action
	topic  string
	want   bool
}

func check(t *testing.T, o rules.Options, decisions []decision) {
	t.Helper()
	a := mustNew(t, o)
	for _, d := range decisions {
		if got := a.Authorize(d.client, d.action, d.topic); got != d.want {
			t.Errorf("%q (user %q) %s %q: got %v, want %v", d.client.ID, d.client.Identity.User, d.action, d.topic, got, d.want)
		}
	}
}

const (
	pub     = broker.Publish
	sub     = broker.Subscribe
	deliver = broker.Deliver
)

func TestDefault(t *testing.T) {
	guest := user("guest", claims{"rooms": []any{"lobby", "traders"}})
	admin := user("root", claims{"admin": true})
	check(t, rules.Default(), []decision{
		{user("ticker", nil), pub, "ticker/ACME", true},
		{user("ticker", nil), pub, "machine/here/cpu", false},
		{user("machine", nil), pub, "machine/here/cpu", true},
		{guest, pub, "ticker/ACME", false},
		{guest, sub, "ticker/#", true},
		{guest, sub, "ticker/+", true},
		{guest, sub, "ticker/ACME", true},
		{guest, sub, "machine/#", true},
		{guest, sub, "machine/+/cpu", true},
		{guest, deliver, "ticker/ACME", true},
		{guest, sub, "#", false},
		{guest, sub, "+/ACME", false},
		{guest, sub, "chat/lobby/#", true},
		{guest, sub, "chat/lobby/say", true},
		{guest, sub, "chat/traders/here/+", true},
		{guest, sub, "chat/secret/#", false},
		{guest, sub, "chat/+/say", false},
		{guest, sub, "chat/#", false},
		{guest, pub, "chat/lobby/say", true},
		{guest, pub, "chat/lobby/here/guest-1", true},
		{guest, pub, "chat/secret/say", false},
		{guest, deliver, "chat/secret/say", false},
		{guest, pub, "elsewhere", false},
		{guest, sub, "$SYS/#", false},
		{admin, sub, "$SYS/#", true},
		{admin, pub, "$SYS/broker/uptime", false},
		{admin, sub, "chat/lobby/#", false},
		{nobody, sub, "ticker/#", false},
		{nobody, pub, "ticker/ACME", false},
		{nobody, sub, "chat/lobby/#", false},
	})
}

func TestNothingIsAllowedByDefault(t *testing.T) {
	check(t, rules.Options{}, []decision{
		{user("ann", nil), pub, "a", false},
		{user("ann", nil), sub, "a", false},
		{user("ann", nil), deliver, "a", false},
		{nobody, sub, "#", false},
	})
}

func TestFirstMatchWins(t *testing.T) {
	check(t, only(allow("user:ann", "a/open"), deny("*", "a/#"), allow("*", "#"), deny("*", "b")), []decision{
		{user("ann", nil), pub, "a/open", true},
		{user("ann", nil), sub, "a/open", true},
		{user("bob", nil), pub, "a/open", false},
		{user("ann", nil), pub, "a/shut", false},
		{user("ann", nil), deliver, "a/shut", false},
		{user("ann", nil), pub, "a", false},
		{user("ann", nil), pub, "b", true},
		{user("ann", nil), sub, "a/+", false},
		{user("ann", nil), sub, "b/#", true},
		{user("ann", nil), sub, "#", false},
		{user("ann", nil), sub, "+/shut", false},
		{user("ann", nil), sub, "+/+/x", false},
		{user("ann", nil), sub, "b/+/x", true},
		{nobody, pub, "a/open", false},
	})
}

func TestWho(t *testing.T) {
	rule := func(who ...string) rules.Options {
		return only(rules.Rule{Allow: true, Who: who, Topics: []string{"t"}})
	}
	cases := []struct {
		name   string
		o      rules.Options
		client *broker.Client
		want   bool
	}{
		{"any user", rule("*"), user("ann", nil), true},
		{"any user, nobody", rule("*"), nobody, false},
		{"anonymous", rule("anonymous"), nobody, true},
		{"anonymous, a user", rule("anonymous"), user("ann", nil), false},
		{"anonymous is no name", rule("anonymous"), user("anonymous", nil), false},
		{"everybody", rule("*", "anonymous"), nobody, true},
		{"named", rule("user:ann"), user("ann", nil), true},
		{"another", rule("user:ann"), user("bob", nil), false},
		{"named second", rule("user:bob", "user:ann"), user("ann", nil), true},
		{"a name is no pattern", rule("user:*"), user("ann", nil), false},
		{"claim", rule("claim:role=boss"), user("ann", claims{"role": "boss"}), true},
		{"claim, another value", rule("claim:role=boss"), user("ann", claims{"role": "clerk"}), false},
		{"claim in a list", rule("claim:role=boss"), user("ann", claims{"role": []any{"clerk", "boss"}}), true},
		{"claim in strings", rule("claim:role=boss"), user("ann", claims{"role": []string{"boss"}}), true},
		{"claim absent", rule("claim:role=boss"), user("ann", nil), false},
		{"claim null", rule("claim:role=boss"), user("ann", claims{"role": nil}), false},
		{"claim is an object", rule("claim:role=boss"), user("ann", claims{"role": claims{"boss": true}}), false},
		{"claim true", rule("claim:admin=true"), user("ann", claims{"admin": true}), true},
		{"claim false", rule("claim:admin=true"), user("ann", claims{"admin": false}), false},
		{"claim whole number", rule("claim:n=9007199254740993"), user("ann", claims{"n": int64(9007199254740993)}), true},
		{"claim of JSON", rule("claim:n=12345678"), user("ann", claims{"n": 12345678.0}), true},
		{"claim with a fraction", rule("claim:n=0.5"), user("ann", claims{"n": 0.5}), true},
		{"claim huge", rule("claim:n=1e+99"), user("ann", claims{"n": 1e99}), false},
		{"claim json.Number", rule("claim:n=7"), user("ann", claims{"n": json.Number("7")}), true},
		{"claim int", rule("claim:n=7"), user("ann", claims{"n": 7}), true},
		{"value with =", rule("claim:q=a=b"), user("ann", claims{"q": "a=b"}), true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			check(t, c.o, []decision{{c.client, pub, "t", c.want}, {c.client, sub, "t", c.want}})
		})
	}
}

func TestClaimsMustAllHold(t *testing.T) {
	r := allow("*", "t")
	r.Claims = map[string]string{"tenant": "acme", "role": "boss"}
	check(t, only(r), []decision{
		{user("ann", claims{"tenant": "acme", "role": []any{"clerk", "boss"}}), pub, "t", true},
		{user("ann", claims{"tenant": "acme"}), pub, "t", false},
		{user("ann", claims{"role": "boss"}), pub, "t", false},
		{user("ann", nil), pub, "t", false},
		{&broker.Client{Identity: &broker.Identity{Claims: claims{"tenant": "acme", "role": "boss"}}}, pub, "t", false},
	})
}

func TestActions(t *testing.T) {
	ann := user("ann", nil)
	check(t, only(allow("*", "p", "publish"), allow("*", "s", "subscribe"), allow("*", "b"), allow("*", "c", "publish", "subscribe")),
		[]decision{
			{ann, pub, "p", true}, {ann, sub, "p", false}, {ann, deliver, "p", false},
			{ann, pub, "s", false}, {ann, sub, "s", true}, {ann, deliver, "s", true},
			{ann, pub, "b", true}, {ann, sub, "b", true}, {ann, deliver, "b", true},
			{ann, pub, "c", true}, {ann, sub, "c", true},
			{ann, broker.Action(9), "b", false},
		})
}

func TestPlaceholders(t *testing.T) {
	ann := user("ann", claims{
		"site": "north", "lines": []any{"1", 2.0, int64(3), true, nil, []any{"nested"}}, "https://x.example/team": "red",
	})
	check(t, only(
		allow("*", "dev/{client}/#"), allow("*", "home/{user}"), allow("*", "{claim.site}/data"),
		allow("*", "plant/{claim.site}/{claim.lines}/+"), allow("*", "team/{claim.https://x.example/team}"),
	), []decision{
		{ann, pub, "dev/ann-1/up", true},
		{ann, pub, "dev/ann-1", true},
		{ann, pub, "dev/bob-1/up", false},
		{ann, sub, "dev/ann-1/#", true},
		{ann, sub, "dev/+/up", false},
		{ann, sub, "dev/#", false},
		{ann, pub, "home/ann", true},
		{ann, pub, "home/bob", false},
		{nobody, pub, "home/", false},
		{ann, pub, "north/data", true},
		{ann, sub, "+/data", false},
		{ann, pub, "plant/north/1/x", true},
		{ann, pub, "plant/north/2/x", true},
		{ann, sub, "plant/north/3/+", true},
		{ann, pub, "plant/north/true/x", true},
		{ann, pub, "plant/north/4/x", false},
		{ann, pub, "plant/north/nested/x", false},
		{ann, pub, "plant/south/1/x", false},
		{ann, sub, "plant/north/+/x", false},
		{ann, sub, "plant/north/1/#", false},
		{ann, pub, "team/red", true},
		{ann, pub, "{claim.site}/data", false},
	})
}

// A client's value must never stand for more than one level, nor reach the server's topics.
func TestPlaceholdersCannotBeInjected(t *testing.T) {
	o := only(allow("*", "{client}/#"), allow("*", "dev/{client}/#"), allow("*", "c/{claim.r}/say"), allow("*", "u/{user}/#"))
	for _, value := range []string{"", "+", "#", "a/b", "/", "a+", "#a", "a\x00b", "$SYS", "$share", "dev/+", "+/#"} {
		byID, byUser := withID(value), user(value, nil)
		byClaim := user("ann", claims{"r": value})
		byList := user("ann", claims{"r": []any{value, value + "#"}})
		inDepth := value == "$SYS" || value == "$share" // harmless except at the first level
		check(t, o, []decision{
			{byID, sub, value + "/#", false},
			{byID, pub, value + "/a", false},
			{byID, sub, value, false},
			{byID, sub, "dev/" + value + "/#", inDepth},
			{byID, pub, "dev/" + value + "/x", inDepth},
			{byUser, sub, "u/" + value + "/#", inDepth && value != ""},
			{byClaim, sub, "c/" + value + "/say", inDepth},
			{byClaim, pub, "c/" + value + "/say", inDepth},
			{byList, sub, "c/" + value + "/say", inDepth},
			{byList, sub, "c/+/say", false},
			{byList, sub, "c/#", false},
			{byID, sub, "#", false},
			{byID, sub, "+/x", false},
			{byID, sub, "$SYS/#", false},
		})
	}
}

func TestServerTopics(t *testing.T) {
	ann := user("ann", nil)
	check(t, only(allow("*", "#")), []decision{
		{ann, sub, "#", true}, {ann, sub, "+/#", true}, {ann, pub, "a/$b", true},
		{ann, sub, "$SYS/#", false}, {ann, pub, "$SYS/x", false}, {ann, deliver, "$SYS/x", false}, {ann, sub, "$SYS/+/x", false},
	})
	check(t, only(allow("*", "+/x")), []decision{{ann, sub, "+/x", true}, {ann, sub, "$SYS/x", false}})
	check(t, only(deny("*", "$SYS/#"), allow("*", "#")), []decision{
		{ann, sub, "#", true}, {ann, sub, "+/x", true}, {ann, sub, "$SYS/#", false},
	})
	check(t, only(deny("*", "+/secret"), allow("*", "$SYS/#")), []decision{{ann, sub, "$SYS/secret", true}, {ann, sub, "$SYS/#", true}})
}

func TestDenyByPlaceholder(t *testing.T) {
	o := only(deny("*", "chat/{claim.banned}/#", "subscribe"), allow("*", "chat/#"))
	banned := user("ann", claims{"banned": []string{"lobby"}})
	check(t, o, []decision{
		{banned, sub, "chat/lobby/say", false},
		{banned, sub, "chat/#", false},
		{banned, sub, "chat/+/say", false},
		{banned, sub, "+/lobby/say", false},
		{banned, sub, "chat/traders/say", true},
		{banned, pub, "chat/lobby/say", true},
		{banned, deliver, "chat/lobby/say", false},
		{user("bob", nil), sub, "chat/#", true},
		{user("bob", claims{"banned": []any{}}), sub, "chat/+/say", true},
		{user("bob", claims{"banned": []any{"", "#", nil}}), sub, "chat/+/say", true},
	})
}

func TestRooms(t *testing.T) {
	o := rules.Options{
		Rules: []rules.Rule{deny("user:troll", "chat/#")},
		Rooms: []rules.Room{
			{Topics: "chat/{room}/#", Join: []string{"claim:rooms", "claim:role=admin", "user:bot"}, Speak: []string{"claim:rooms"}},
			{Topics: "news/#", Join: []string{"*", "anonymous"}, Speak: []string{"user:editor"}},
			{Topics: "{team}/board", Join: []string{"claim:teams"}},
		},
	}
	member := user("ann", claims{"rooms": []any{"lobby"}, "teams": []any{"red", "$SYS"}})
	check(t, o, []decision{
		{member, sub, "chat/lobby/#", true},
		{member, pub, "chat/lobby/say", true},
		{member, sub, "chat/traders/#", false},
		{member, sub, "chat/+/#", false},
		{user("root", claims{"role": "admin"}), sub, "chat/+/#", true},
		{user("root", claims{"role": "admin"}), sub, "chat/#", false}, // chat itself belongs to no room
		{user("root", claims{"role": "admin"}), pub, "chat/lobby/say", false},
		{user("bot", nil), sub, "chat/any/say", true},
		{user("troll", claims{"rooms": []any{"lobby"}}), sub, "chat/lobby/#", false},
		{user("troll", claims{"rooms": []any{"lobby"}}), pub, "chat/lobby/say", false},
		{nobody, sub, "news/#", true},
		{nobody, pub, "news/today", false},
		{user("editor", nil), pub, "news/today", true},
		{member, sub, "red/board", true},
		{member, sub, "blue/board", false},
		{member, sub, "$SYS/board", false},
		{member, pub, "red/board", false},
	})
}

func TestQueuePolicy(t *testing.T) {
	a := mustNew(t, rules.Options{Rooms: []rules.Room{
		{Topics: "ticker/{symbol}", Queue: broker.Conflate},
		{Topics: "ticker/#", Queue: broker.Disconnect},
		{Topics: "{room}/last", Queue: broker.Conflate},
	}})
	for topic, want := range map[string]broker.QueuePolicy{
		"ticker/ACME":     broker.Conflate,
		"ticker/ACME/bid": broker.Disconnect,
		"ticker":          broker.Disconnect,
		"a/last":          broker.Conflate,
		"$SYS/last":       broker.DropOldest,
		"other":           broker.DropOldest,
	} {
		if got := a.QueuePolicy(topic); got != want {
			t.Errorf("%q: got %d, want %d", topic, got, want)
		}
	}
}

func TestUpdateKeepsOldRulesOnError(t *testing.T) {
	a := mustNew(t, only(allow("*", "old")))
	if err := a.Update(only(allow("*", "new"), allow("nobody", ""))); err == nil {
		t.Fatal("broken rules were taken")
	}
	if ann := user("ann", nil); !a.Authorize(ann, pub, "old") || a.Authorize(ann, pub, "new") {
		t.Error("the old rules are gone")
	}
}

// A decision uses one version of the rules: the two alternating versions agree on "always" and "never".
func TestUpdateWhileAsked(t *testing.T) {
	one := only(allow("*", "one"), allow("*", "always/#"), deny("*", "never"))
	two := only(deny("*", "never"), allow("user:ann", "always/#"), allow("*", "#"))
	a := mustNew(t, one)
	ann := user("ann", claims{"rooms": []any{"x"}})
	done := make(chan struct{})
	var asking sync.WaitGroup
	for range 4 {
		asking.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if !a.Authorize(ann, sub, "always/+") || a.Authorize(ann, pub, "never") {
					t.Error("a decision mixed two versions")
					return
				}
				a.QueuePolicy("always/x")
				a.Explain(ann, rules.Question{Action: sub, Topic: "never"})
			}
		})
	}
	for i := range 500 {
		if err := a.Update([]rules.Options{one, two}[i%2]); err != nil {
			t.Error(err)
		}
	}
	close(done)
	asking.Wait()
}
