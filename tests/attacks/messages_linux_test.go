package attacks_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// Small limits, so that excess shows clearly.
var smallQueues = []string{"limits.max_queued_total=16MiB", "limits.max_retained=16MiB"}

var messageAttacks = []attack{
	{name: "aliases", run: func(a *attacker) {
		packet := aliased(malTopic("x"), 8000)
		a.flood(a.clients(4, "mal", "p", 0), func(int, int) []byte { return packet })
	}},
	{name: "aliases to 500 subscribers", run: func(a *attacker) {
		for _, h := range a.clients(500, "mal", "s", 0) {
			h.send(subscribe([]string{malTopic("x")}, 0))
		}
		packet := aliased(malTopic("x"), 8000)
		a.flood(a.clients(2, "mal", "p", 0), func(int, int) []byte { return packet })
	}},
	{name: "aliases to 500 subscribers that do not read", memory: 600, run: func(a *attacker) {
		for _, h := range a.nonReading(500, "mal", "s", 0) {
			h.send(subscribe([]string{malTopic("x")}, 0))
		}
		packet := aliased(malTopic("x"), 8000)
		a.flood(a.clients(2, "mal", "p", 0), func(int, int) []byte { return packet })
	}},
	{name: "large messages to subscribers that do not read", run: func(a *attacker) {
		for _, h := range a.nonReading(300, "mal", "s", 0) {
			h.send(subscribe([]string{malTopic("x")}, 0))
		}
		packet := publish(malTopic("x"), strings.Repeat("x", 1_000_000), 0, 0)
		a.flood(a.clients(2, "mal", "p", 0), func(int, int) []byte { return packet })
	}},
	{name: "user properties to 200 subscribers", memory: 400, run: func(a *attacker) {
		for _, h := range a.clients(200, "mal", "s", 0) {
			h.send(subscribe([]string{malTopic("x")}, 0))
		}
		props := make([]raw.Prop, 2000)
		for i := range props {
			props[i] = raw.User("k", "v")
		}
		packet := publish(malTopic("x"), "", 0, 0, props...)
		a.flood(a.clients(2, "mal", "p", 0), func(int, int) []byte { return packet })
	}},
	{name: "fresh topics, QoS 0", sets: []string{"limits.max_topic_cache=16MiB"}, run: func(a *attacker) {
		a.flood(a.clients(4, "mal", "p", 0), func(i, n int) []byte {
			return newTopicMessages(malTopic(strings.Repeat("a/", 100), i, "-"), n*100, 100, 0, "")
		})
	}},
	{name: "fresh topics of 4 KB", sets: []string{"limits.max_topic_cache=16MiB"}, run: func(a *attacker) {
		long := strings.Repeat("x", 4000)
		a.flood(a.clients(4, "mal", "p", 0), func(i, n int) []byte { return newTopicMessages(malTopic(long, i, "-"), n*20, 20, 0, "") })
	}},
	{name: "topics that are denied", sets: []string{"limits.max_topic_cache=16MiB"}, run: func(a *attacker) {
		a.flood(a.clients(4, "mal", "p", 0), func(i, n int) []byte { return newTopicMessages("chat/"+strings.Repeat("x", 300), n*50, 50, 1, "x") })
	}},
	{name: "unacknowledged QoS 1 to sessions of one's own", sets: smallQueues, keeps: 24, memory: 256, run: func(a *attacker) {
		h := a.client("mal", "s", 3600).subscribe([]string{malTopic("#")}, 1)
		p, large := a.client("mal", "p", 0), strings.Repeat("x", 1_000_000)
		for n := 1; n <= 300 && p.send(publish(malTopic(n), large, 1, n)); n++ {
		}
		p.await(raw.PUBACK, 300)
		h.close()
	}},
	{name: "QoS 1 to 200 sessions that do not acknowledge", sets: smallQueues, keeps: 64, memory: 256, run: func(a *attacker) {
		for _, h := range a.clients(200, "mal", "s", 3600) {
			h.subscribe([]string{malTopic("#")}, 1)
		}
		a.flood(a.clients(2, "mal", "p", 0), func(_, n int) []byte { return newTopicMessages(malTopic(), 0, 50, 1, strings.Repeat("x", 100)) })
	}},
	{name: "QoS 1 to 200 sessions without a connection", sets: smallQueues, keeps: 64, memory: 256, run: func(a *attacker) {
		for _, h := range a.clients(200, "mal", "s", 3600) {
			h.subscribe([]string{malTopic("#")}, 1)
			h.close()
		}
		a.flood(a.clients(2, "mal", "p", 0), func(_, n int) []byte { return newTopicMessages(malTopic(), 0, 50, 1, strings.Repeat("x", 100)) })
	}},
	{name: "large QoS 1 messages for the store", sets: smallQueues, keeps: 48, memory: 320, run: func(a *attacker) {
		for _, h := range a.clients(4, "mal", "s", 3600) {
			h.subscribe([]string{malTopic("#")}, 1)
			h.close()
		}
		large := strings.Repeat("x", 500_000)
		a.flood(a.clients(4, "mal", "p", 0), func(_, n int) []byte { return publish(malTopic(n), large, 1, 1+n%1000) })
	}},
	{name: "QoS 2 that is never released", keeps: 16, memory: 256, run: func(a *attacker) {
		a.isRunning()
		a.each(4, func(i int) {
			for a.isRunning() {
				h := a.client("mal", fmt.Sprint("p", i), 3600)
				h.send(newTopicMessages(malTopic(), 0, 1024, 2, strings.Repeat("x", 1000)))
				h.ping()
				h.close()
			}
		})
	}},
	{name: "QoS 2 in full", run: func(a *attacker) {
		var packets []byte
		for id := 1; id <= 500; id++ {
			packets = append(packets, publish(malTopic("x"), "x", 2, id)...)
			packets = append(packets, raw.Ack(raw.PUBREL, id)...)
		}
		a.client("mal", "s", 0).subscribe([]string{malTopic("#")}, 2)
		a.flood(a.clients(4, "mal", "p", 3600), func(int, int) []byte { return packets })
	}},
	{name: "acknowledgements of nothing", run: func(a *attacker) {
		packets := repeat(5000, raw.Ack(raw.PUBREL, 7))
		a.flood(a.clients(4, "mal", "p", 0), func(int, int) []byte { return packets })
	}},
	{name: "pings", run: func(a *attacker) {
		packets := repeat(8000, raw.Plain(raw.PINGREQ))
		a.flood(a.clients(4, "mal", "p", 0), func(int, int) []byte { return packets })
	}},
	{name: "pings whose answers are not read", run: func(a *attacker) {
		packets := repeat(8000, raw.Plain(raw.PINGREQ))
		a.flood(a.nonReading(100, "mal", "p", 0), func(int, int) []byte { return packets })
	}},
	{name: "WebSocket frames of a byte", run: func(a *attacker) {
		packets := repeat(2000, append(raw.Frame(raw.OpBinary, true, []byte{0xC0}), raw.Frame(raw.OpBinary, true, []byte{0})...))
		a.each(4, func(i int) {
			h := a.connect(a.s.connectAs("mal", fmt.Sprint("ws", i), 0), "ws", false)
			if f, ok := h.conn.(*raw.Frames); ok {
				h.conn = f.Conn
			}
			for a.isRunning() && h.send(packets) {
			}
		})
	}},
	{name: "compressed packets", sets: []string{"listeners.ws.compression=true"}, run: func(a *attacker) {
		bomb := raw.Compressed(raw.Deflate(publish(malTopic("x"), strings.Repeat("x", 2_000_000), 0, 0)))
		a.each(4, func(i int) {
			h := a.connect(a.s.connectAs("mal", fmt.Sprint("ws", i), 0), deflate, false)
			if f, ok := h.conn.(*raw.Frames); ok {
				h.conn = f.Conn
			}
			for a.isRunning() && h.send(bomb) {
			}
		})
	}},
	{name: "compression of what is sent", sets: []string{"listeners.ws.compression=true"}, memory: 256, run: func(a *attacker) {
		a.each(50, func(i int) {
			a.connect(a.s.connectAs("mal", fmt.Sprint("ws", i), 0), deflate, false).subscribe([]string{malTopic("x")}, 0)
		})
		packets := repeat(10, publish(malTopic("x"), strings.Repeat("abcdefgh", 1000), 0, 0))
		a.flood(a.clients(2, "mal", "p", 0), func(int, int) []byte { return packets })
	}},
	{name: "packets of 2 MB that do not end", memory: 512, run: func(a *attacker) {
		packet := publish(malTopic("x"), strings.Repeat("x", 2_000_000), 0, 0)
		a.each(200, func(i int) { a.client("mal", fmt.Sprint("p", i), 0).send(packet[:1_999_000]) })
		a.isRunning()
	}},
	{name: "500 connections that each do a little", run: func(a *attacker) {
		all := a.clients(500, "mal", "p", 0)
		for i, h := range all {
			h.send(subscribe([]string{malTopic(i % 50)}, 0))
		}
		for a.isRunning() {
			for i, h := range all {
				h.send(publish(malTopic(i%50), "x", 0, 0))
			}
			time.Sleep(20 * time.Millisecond)
		}
	}},
	{name: "tokens that are no good, to $auth/token", run: func(a *attacker) {
		packets := repeat(100, publish("$auth/token", strings.Repeat("x.y.z", 100), 0, 0))
		a.flood(a.clients(4, "mal", "p", 0), func(int, int) []byte { return packets })
	}},
}
