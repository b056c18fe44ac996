package rules_test

import (
	"fmt"
	"testing"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/hooks/rules"
)

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
