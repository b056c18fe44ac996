package attacks_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

var subscriptionAttacks = []attack{
	{name: "share groups of what others publish", run: func(a *attacker) {
		a.client("mal", "groups", 0).subscribe(numbered(10_000, "$share/g%d/ticker/#"), 0)
		prices := a.client("ticker", "prices", 0)
		for a.isRunning() && prices.send(publish("ticker/A", "1", 0, 0)) {
			time.Sleep(5 * time.Millisecond)
		}
	}},
	{name: "share groups of what the honest clients publish", run: func(a *attacker) {
		a.client("mal", "groups", 0).subscribe(numbered(10_000, "$share/g%d/sensors/vic/#"), 0)
		for a.isRunning() {
			time.Sleep(10 * time.Millisecond)
		}
	}},
	{name: "share groups of four filters of the honest topics", run: func(a *attacker) {
		filters := []string{"sensors/#", "sensors/+/#", "sensors/vic/#", "sensors/+/+"}
		a.each(len(filters), func(i int) {
			a.client("mal", fmt.Sprint("groups", i), 0).subscribe(numbered(10_000, "$share/g%d/"+filters[i]), 0)
		})
		for a.isRunning() {
			time.Sleep(10 * time.Millisecond)
		}
	}},
	{name: "share groups of four filters and four users", run: func(a *attacker) {
		filters := []string{"sensors/#", "sensors/+/#", "sensors/vic/#", "sensors/+/+"}
		a.each(len(filters), func(i int) {
			a.client(fmt.Sprint("mal", i), fmt.Sprint("groups", i), 0).subscribe(numbered(10_000, "$share/g%d/"+filters[i]), 1)
		})
		for a.isRunning() {
			time.Sleep(10 * time.Millisecond)
		}
	}},
	{name: "share groups of one filter each", run: func(a *attacker) {
		topic := malTopic(strings.Repeat("a/", 13))
		a.each(4, func(i int) {
			filters := branches(13, malTopic(), "#")
			for n := range filters {
				filters[n] = fmt.Sprint("$share/g", i, "/", filters[n])
			}
			a.client("mal", fmt.Sprint("groups", i), 0).subscribe(filters, 0)
		})
		a.flood(a.clients(4, "mal", "p", 0), func(i, n int) []byte { return newTopicMessages(fmt.Sprint(topic, i, "-"), n*100, 100, 0, "") })
	}},
	{name: "aliases into 1,000 share groups on all shards", run: func(a *attacker) {
		for _, h := range a.clients(4, "mal", "groups", 0) {
			h.subscribe(numbered(1000, "$share/g%d/"+malTopic("x")), 0)
		}
		a.flood(a.clients(2, "mal", "p", 0), func(int, int) []byte { return aliased(malTopic("x"), 8000) })
	}},
	{name: "aliases into 30,000 share groups, QoS 1", run: func(a *attacker) {
		for i, f := range []string{malTopic("x"), malTopic("+"), malTopic("#")} {
			a.client("mal", fmt.Sprint("groups", i), 0).subscribe(numbered(10_000, "$share/g%d/"+f), 1)
		}
		a.flood(a.clients(2, "mal", "p", 0), func(int, int) []byte { return aliased(malTopic("x"), 8000) })
	}},
	{name: "durable share groups, QoS 1", sets: []string{"limits.max_queued_total=16MiB"}, keeps: 64, run: func(a *attacker) {
		for i, h := range a.clients(2, "mal", "groups", 3600) {
			h.subscribe(numbered(5000, fmt.Sprint("$share/", i, "g%d/", malTopic("x"))), 1)
		}
		a.flood(a.clients(2, "mal", "p", 0), func(_, n int) []byte { return publish(malTopic("x"), "x", 1, 1+n) })
	}},
	{name: "share groups are left and joined", run: func(a *attacker) {
		filters := numbered(10_000, "$share/g%d/"+malTopic("#"))
		a.flood(a.clients(3, "mal", "groups", 0), func(_, n int) []byte {
			if n%2 == 1 {
				return unsubscribe(filters)
			}
			return subscribe(filters, 0)
		})
	}},
	{name: "wildcards on 16 levels, fresh topics", run: func(a *attacker) { wildcards(a, 8, 0) }},
	{name: "wildcards on 16 levels, fresh topics, QoS 1", run: func(a *attacker) { wildcards(a, 8, 1) }},
	{name: "wildcards whose search ends in nothing", run: func(a *attacker) {
		deep := strings.Repeat("a/", 118)
		a.each(4, func(i int) {
			h := a.client("mal", fmt.Sprint("s", i), 0)
			h.subscribe(branches(12, malTopic(i, "/+/"), deep[:200]+"z"), 0)
		})
		a.flood(a.clients(4, "mal", "p", 0), func(i, n int) []byte {
			return newTopicMessages(malTopic(i, "/a/", strings.Repeat("a/", 112)), n*100, 100, 0, "")
		})
	}},
	{name: "wildcards on 16 levels, fresh topics of 300 clients", run: func(a *attacker) {
		a.each(8, func(i int) {
			a.client("mal", fmt.Sprint("s", i), 0).subscribe(branches(13, branches(3, malTopic(), "")[i], "z"), 0)
		})
		topic := malTopic(strings.Repeat("a/", 16))
		a.flood(a.clients(300, "mal", "p", 0), func(i, n int) []byte { return newTopicMessages(fmt.Sprint(topic, i, "-"), n*100, 100, 0, "") })
	}},
	{name: "filters come and go while fresh topics are searched", run: func(a *attacker) {
		a.each(4, func(i int) { a.client("mal", fmt.Sprint("s", i), 0).subscribe(branches(13, malTopic("a/"), "z"), 0) })
		flap, one := a.client("mal", "flap", 0), []string{malTopic("flap")}
		both := append(subscribe(one, 0), unsubscribe(one)...)
		p := a.clients(2, "mal", "p", 0)
		a.isRunning()
		a.each(3, func(i int) {
			for a.isRunning() {
				if i == 0 && !flap.send(repeat(50, both)) || i > 0 && !p[i-1].send(newTopicMessages(malTopic(strings.Repeat("a/", 14)), i, 20, 0, "")) {
					return
				}
			}
		})
	}},
	{name: "wills into wildcards", run: func(a *attacker) {
		a.each(4, func(i int) { a.client("mal", fmt.Sprint("s", i), 0).subscribe(branches(13, malTopic("a/"), "#"), 0) })
		a.each(4, func(i int) {
			for n := range 100 {
				k := a.s.connectAs("mal", fmt.Sprint("w", i, "-", n), 0)
				k.Will = &raw.Will{Topic: malTopic(strings.Repeat("a/", 14), i, "-", n), Payload: "gone"}
				a.connect(k, "tcp", true)
			}
		})
		a.isRunning()
	}},
	{name: "wills whose search ends in nothing", run: func(a *attacker) {
		a.each(8, func(i int) {
			a.client("mal", fmt.Sprint("s", i), 0).subscribe(branches(13, branches(3, malTopic(), "")[i], "z"), 0)
		})
		a.each(4, func(i int) {
			for n := range 150 {
				k := a.s.connectAs("mal", fmt.Sprint("w", i, "-", n), 0)
				k.Will = &raw.Will{Topic: malTopic(strings.Repeat("a/", 16), i, "-", n), Payload: "gone"}
				a.connect(k, "tcp", true)
			}
		})
		a.isRunning()
	}},
	{name: "SUBSCRIBE of 10,000 filters again and again", run: func(a *attacker) {
		a.flood(a.clients(4, "mal", "s", 0), func(i, n int) []byte { return subscribe(numbered(10_000, fmt.Sprint("sensors/+/", i, "/%d/+/#")), 0) })
	}},
	{name: "the same, of a durable session", keeps: 32, run: func(a *attacker) {
		a.flood(a.clients(3, "mal", "s", 3600), func(i, n int) []byte { return subscribe(numbered(10_000, fmt.Sprint("sensors/+/", i, "/%d/+/#")), 1) })
	}},
	{name: "the same, of 30 durable sessions", keeps: 256, memory: 512, run: func(a *attacker) {
		a.setDuration(2 * time.Second)
		packets := make([][]byte, 30)
		for i := range packets {
			packets[i] = subscribe(numbered(10_000, fmt.Sprint("sensors/+/", i, "/%d/+/#")), 1)
		}
		a.flood(a.clients(len(packets), "mal", "s", 3600), func(i, n int) []byte { return packets[i] })
	}},
	{name: "SUBSCRIBE and UNSUBSCRIBE of 10,000 filters, durable", keeps: 32, run: func(a *attacker) {
		filters := numbered(10_000, "sensors/+/%d/+/#")
		a.flood(a.clients(3, "mal", "s", 3600), func(_, n int) []byte { return append(subscribe(filters, 1), unsubscribe(filters)...) })
	}},
	{name: "SUBSCRIBE of one filter 260,000 times, durable", run: func(a *attacker) {
		one := append(raw.Str("$me/#"), 0)
		packet := raw.Packet(0x82, raw.U16(7), []byte{0}, repeat((2<<20-20)/len(one), one))
		a.flood(a.clients(3, "mal", "s", 3600), func(int, int) []byte { return packet })
	}},
	{name: "UNSUBSCRIBE of what is not there", run: func(a *attacker) {
		packet := unsubscribe(numbered(10_000, "sensors/+/%d/+/#"))
		a.flood(a.clients(4, "mal", "s", 0), func(int, int) []byte { return packet })
	}},
	{name: "filters that are denied", run: func(a *attacker) {
		a.client("mal", "allowed", 0).subscribe([]string{malTopic("#")}, 0)
		packet := subscribe(numbered(5000, "chat/+/%d/"+strings.Repeat("x", 300)), 0)
		a.flood(a.clients(4, "mal", "s", 0), func(int, int) []byte { return packet })
	}},
	{name: "10,000 filters of 4 KB in each session", memory: 512, run: func(a *attacker) {
		a.isRunning()
		a.each(3, func(i int) {
			h, long := a.client("mal", fmt.Sprint("s", i), 0), strings.Repeat("x", 4000)
			for n := 0; n < 10_000 && a.isRunning() && h.send(subscribe(numbered(200, fmt.Sprint(malTopic(i, "/", n, "/%d/"), long)), 0)); n += 200 {
			}
		})
	}},
	{name: "subscription identifiers that overlap", run: func(a *attacker) {
		for i, h := range a.clients(4, "mal", "s", 0) {
			for n, f := range branches(10, malTopic("a/"), []string{"#", "+", "x", "x/#"}[i]) {
				h.send(subscribe([]string{f}, 0, raw.Num(raw.SubscriptionIdentifier, 200_000_000+n)))
			}
			h.ping()
		}
		topic := malTopic(strings.Repeat("a/", 11), "x")
		a.flood(a.clients(2, "mal", "p", 0), func(int, int) []byte { return aliased(topic, 1000) })
	}},
	{name: "max_rate of thousands of filters", run: func(a *attacker) {
		h := a.client("mal", "s", 0)
		for n := range 300 {
			h.subscribe([]string{malTopic(n)}, 0, raw.User("max_rate", fmt.Sprint(0.0003+float64(n)/1e6)))
		}
		a.client("mal", "more", 0).subscribe(numbered(9000, "sensors/mal/%d"), 0, raw.User("max_rate", "0.001"))
		large := strings.Repeat("x", 1_000_000)
		a.flood(a.clients(1, "mal", "p", 0), func(_, n int) []byte { return publish(malTopic(n%300), large[:(n/300%2)*999_999+1], 0, 0) })
	}},
	{name: "max_rate of wildcards, many topics, timers at once", run: func(a *attacker) {
		for i, h := range a.clients(20, "mal", "s", 0) {
			h.subscribe([]string{malTopic("#")}, 0, raw.User("max_rate", fmt.Sprint(2+float64(i)/10)))
		}
		a.flood(a.clients(2, "mal", "p", 0), func(i, n int) []byte { return newTopicMessages(malTopic(i, "/"), n%20*500, 500, 0, "x") })
	}},
}

// wildcards subscribes sessions to 8,192 filters each. Each of the attacker's topics causes a search through all of
// them.
func wildcards(a *attacker, sessions int, qos byte) {
	a.each(sessions, func(i int) {
		before := branches(3, malTopic(), "")[i]
		a.client("mal", fmt.Sprint("s", i), 0).subscribe(branches(13, before, "z"), 0)
	})
	topic := malTopic(strings.Repeat("a/", 16))
	a.flood(a.clients(4, "mal", "p", 0), func(i, n int) []byte { return newTopicMessages(fmt.Sprint(topic, i, "-"), n*100, 100, qos, "") })
}
