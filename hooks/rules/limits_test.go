package rules_test

import (
	"fmt"
	"testing"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/hooks/rules"
)

func upTo(qos byte, r rules.Rule) rules.Rule {
	r.MaxQoS = &qos
	return r
}

func unretained(r rules.Rule) rules.Rule {
	r.NoRetain = true
	return r
}

// The limits are those of the deciding rule, even if a later rule grants more.
func TestGrant(t *testing.T) {
	one := byte(1)
	a := mustNew(t, rules.Options{
		Rules: []rules.Rule{
			deny("*", "shut/#"), upTo(0, allow("*", "events/#")), unretained(allow("*", "plain/+")), allow("*", "free"),
			unretained(upTo(1, allow("*", "both"))), allow("*", "events/all"),
		},
		Rooms: []rules.Room{
			{Topics: "chat/{room}/#", Join: []string{"*"}, Speak: []string{"claim:rooms"}, MaxQoS: &one, NoRetain: true},
			{Topics: "prices/#", Join: []string{"*"}, MaxRate: 2},
		},
	})
	ann := user("ann", claims{"rooms": "lobby"})
	for _, c := range []struct {
		action broker.Action
		topic  string
		want   broker.Grant
	}{
		{pub, "shut/x", broker.Grant{}},
		{sub, "shut/#", broker.Grant{}},
		{pub, "nowhere", broker.Grant{}},
		{pub, "events/x", broker.Grant{Allowed: true, Retain: true}},
		{sub, "events/#", broker.Grant{Allowed: true, Retain: true}},
		{pub, "events/all", broker.Grant{Allowed: true, Retain: true}},
		{pub, "plain/x", broker.Grant{Allowed: true, MaxQoS: 2}},
		{pub, "free", broker.Grant{Allowed: true, MaxQoS: 2, Retain: true}},
		{pub, "both", broker.Grant{Allowed: true, MaxQoS: 1}},
		{pub, "chat/lobby/say", broker.Grant{Allowed: true, MaxQoS: 1}},
		{sub, "chat/+/say", broker.Grant{Allowed: true, MaxQoS: 1}},
		{pub, "chat/other/say", broker.Grant{}},
		{sub, "prices/#", broker.Grant{Allowed: true, MaxQoS: 2, Retain: true, MaxRate: 2}},
	} {
		if got := a.Grant(ann, c.action, c.topic); got != c.want {
			t.Errorf("%s %q: %+v, want %+v", c.action, c.topic, got, c.want)
		}
		if got := a.Authorize(ann, c.action, c.topic); got != c.want.Allowed {
			t.Errorf("%s %q: Authorize says %v", c.action, c.topic, got)
		}
	}
}

func TestExplainLimits(t *testing.T) {
	a := mustNew(t, only(unretained(upTo(1, allow("*", "t")))))
	slow := mustNew(t, rules.Options{Rules: []rules.Rule{{Allow: true, Who: []string{"*"}, Topics: []string{"t"}, MaxRate: 0.5}}})
	ann := user("ann", nil)
	for _, c := range []struct {
		q      rules.Question
		allow  bool
		qos    byte
		reason string
	}{
		{rules.Question{Action: pub, Topic: "t", QoS: 1}, true, 1, "rules[0] allows it: t for *"},
		{rules.Question{Action: pub, Topic: "t", QoS: 2}, false, 0, "rules[0] allows QoS 1 at most: t for *"},
		{rules.Question{Action: pub, Topic: "t", Retain: true}, false, 0, "rules[0] allows it only if it is not retained: t for *"},
		{rules.Question{Action: sub, Topic: "t", QoS: 2}, true, 1, "rules[0] allows it with QoS 1: t for *"},
		{rules.Question{Action: sub, Topic: "t"}, true, 0, "rules[0] allows it: t for *"},
	} {
		d := a.Explain(ann, c.q)
		if d.Allow != c.allow || d.QoS != c.qos || d.Reason != c.reason || d.Path != "rules[0]" {
			t.Errorf("%+v: got %+v", c.q, d)
		}
	}
	d := slow.Explain(ann, rules.Question{Action: sub, Topic: "t", QoS: 1})
	if want := "rules[0] allows it with 0.5 messages a second of each topic: t for *"; !d.Allow || d.QoS != 0 || d.Reason != want {
		t.Errorf("got %+v, want %s", d, want)
	}
}

func tenRules() rules.Options {
	var o rules.Options
	for i := range 8 {
		o.Rules = append(o.Rules, allow("user:somebody", fmt.Sprintf("area%d/+/#", i)))
	}
	o.Rules = append(o.Rules, allow("*", "dev/{client}/#"))
	o.Rooms = append(o.Rooms, rules.Room{Topics: "chat/{room}/#", Join: []string{"claim:rooms"}, Speak: []string{"claim:rooms"}})
	return o
}

func TestDecisionsDoNotAllocate(t *testing.T) {
	o := tenRules()
	o.ACLClaim = "acl"
	a := mustNew(t, o)
	ann := user("ann", claims{"rooms": []any{"lobby", "traders", 12.0, true}})
	own := user("ann", claims{"acl": []any{map[string]any{"access": "allow", "topics": []any{"own/{client}/#"}}}})
	for _, d := range []decision{
		{own, pub, "own/ann-1/up", true},
		{own, sub, "own/+/up", false},
		{ann, pub, "chat/traders/say", true},
		{ann, sub, "chat/12/#", true},
		{ann, sub, "chat/+/#", false},
		{ann, deliver, "dev/ann-1/up", true},
	} {
		var got bool
		if n := testing.AllocsPerRun(100, func() { got = a.Authorize(d.client, d.action, d.topic) }); n != 0 || got != d.want {
			t.Errorf("%s %q: %v allocations and %v, want none and %v", d.action, d.topic, n, got, d.want)
		}
	}
}

func BenchmarkAuthorize(b *testing.B) {
	a := mustNew(b, tenRules())
	ann := user("ann", claims{"rooms": []any{"lobby", "traders"}})
	for _, bench := range []struct {
		name   string
		action broker.Action
		topic  string
	}{
		{"publish-last-of-ten", pub, "chat/traders/say"},
		{"subscribe-last-of-ten", sub, "chat/traders/#"},
		{"denied-by-ten", pub, "elsewhere/traders/say"},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				a.Authorize(ann, bench.action, bench.topic)
			}
		})
	}
}
