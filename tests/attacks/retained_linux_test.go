package attacks_test

import (
	"fmt"
	"strings"

	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

var retainedAttacks = []attack{
	{name: "retained messages by filters that match all", keeps: 32, run: func(a *attacker) {
		a.retain(20_000)
		packet := subscribe(append(branches(2, malTopic(), "#"), malTopic("#"), "sensors/#", "sensors/+/#", "sensors/+/+/#"), 0)
		a.flood(a.nonReading(4, "mal", "s", 0), func(int, int) []byte { return packet })
	}},
	{name: "the same, of a client that reads", keeps: 32, run: func(a *attacker) {
		a.retain(20_000)
		packet := subscribe(append(branches(2, malTopic(), "#"), malTopic("#"), "sensors/#", "sensors/+/#", "sensors/+/+/#"), 0)
		a.flood(a.clients(2, "mal", "s", 0), func(int, int) []byte { return packet })
	}},
	{name: "retained messages by filters that match none", keeps: 32, run: func(a *attacker) {
		a.retain(20_000)
		packet := subscribe(numbered(2000, "sensors/mal/+/+/none/%d"), 0)
		a.flood(a.clients(4, "mal", "s", 0), func(int, int) []byte { return packet })
	}},
	{name: "retained messages below 100 levels, by wildcards", keeps: 32, run: func(a *attacker) {
		p := a.client("mal", "p", 0)
		for i := range 3000 {
			p.send(retain(malTopic(i, strings.Repeat("/a", 100)), "x"))
		}
		p.ping()
		packet := subscribe(numbered(500, malTopic(strings.Repeat("+/", 100), "%d")), 0)
		a.flood(a.clients(4, "mal", "s", 0), func(int, int) []byte { return packet })
	}},
	{name: "retained messages of fresh topics", keeps: 128, memory: 384, run: func(a *attacker) {
		a.flood(a.clients(4, "mal", "p", 0), func(i, n int) []byte {
			var b []byte
			for m := range 100 {
				b = append(b, retain(malTopic(i, "/", n*100+m), "x")...)
			}
			return b
		})
	}},
	{name: "retained messages set and deleted", run: func(a *attacker) {
		both := append(retain(malTopic("a"), strings.Repeat("x", 4000)), retain(malTopic("a"), "")...)
		a.flood(a.clients(4, "mal", "p", 0), func(i, n int) []byte { return repeat(10, both) })
	}},
	{name: "retained messages that expire at once", sets: []string{"limits.max_retained=8MiB", "limits.max_topic_cache=16MiB"}, keeps: 128, memory: 384, run: func(a *attacker) {
		expiry := raw.Num(raw.MessageExpiry, 1)
		a.flood(a.clients(4, "mal", "p", 0), func(i, n int) []byte {
			var b []byte
			for m := range 100 {
				b = append(b, retain(malTopic(i, "/", n*100+m), "x", expiry)...)
			}
			return b
		})
		a.pause(1)
	}},
}

// retain stores n retained messages of the attacker.
func (a *attacker) retain(n int) {
	p := a.client("mal", "retains", 0)
	for i := 0; i < n; i += 100 {
		var b []byte
		for m := range 100 {
			b = append(b, retain(fmt.Sprint(malTopic(), i/100, "/", m), "x")...)
		}
		p.send(b)
	}
	p.ping()
}
