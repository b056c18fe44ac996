package attacks_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

var sessionAttacks = []attack{
	{name: "sessions by the thousand", keeps: 32, run: func(a *attacker) {
		a.isRunning()
		a.each(8, func(i int) {
			for n := 0; a.isRunning(); n++ {
				a.client("mal", fmt.Sprint("s", i, "-", n), 604800).close()
			}
		})
	}},
	{name: "sessions of 10,000 filters that end at once", run: func(a *attacker) {
		all := a.clients(8, "mal", "s", 0)
		a.each(len(all), func(i int) { all[i].subscribe(numbered(10_000, malTopic(i, "/+/%d/#")), 0) })
		a.isRunning()
	}},
	{name: "40 sessions of 10,000 filters that end at once", memory: 512, run: func(a *attacker) {
		all := a.clients(40, "mal", "s", 0)
		a.each(len(all), func(i int) { all[i].subscribe(numbered(10_000, malTopic(i, "/+/%d/#")), 0) })
		a.isRunning()
		a.leave()
		a.pause(1)
	}},
	{name: "durable sessions of 10,000 filters, begun and ended", keeps: 32, run: func(a *attacker) {
		a.isRunning()
		a.each(4, func(i int) {
			for a.isRunning() {
				h := a.client("mal", fmt.Sprint("s", i), 3600)
				h.send(subscribe(numbered(10_000, malTopic(i, "/+/%d/#")), 1))
				h.ping()
				h.close()
				k := a.s.connectAs("mal", fmt.Sprint("s", i), 0)
				a.connect(k, "tcp", false).close()
			}
		})
	}},
	{name: "a session of 10,000 filters that is taken over", keeps: 32, run: func(a *attacker) {
		for i := range 4 {
			a.client("mal", fmt.Sprint("s", i), 3600).subscribe(numbered(10_000, malTopic(i, "/+/%d/#")), 1)
		}
		a.isRunning()
		a.each(8, func(i int) {
			for a.isRunning() {
				a.client("mal", fmt.Sprint("s", i%4), 3600)
			}
		})
	}},
	{name: "a session with 10,000 messages that is resumed", keeps: 32, run: func(a *attacker) {
		h := a.client("mal", "s", 3600).subscribe([]string{malTopic("#")}, 1)
		h.close()
		p := a.client("mal", "p", 0)
		for i := 0; i < 10_000; i += 500 {
			p.send(newTopicMessages(malTopic(), i, 500, 1, "x"))
			p.await(raw.PUBACK, int64(i+500))
		}
		a.isRunning()
		a.each(4, func(i int) {
			for a.isRunning() {
				k := a.s.connectAs("mal", "s", 3600)
				k.Props = append(k.Props, raw.Num(raw.ReceiveMaximum, 65535))
				a.connect(k, "tcp", i%2 == 0)
			}
		})
	}},
	{name: "2,000 wills at once", memory: 384, run: func(a *attacker) {
		a.client("mal", "s", 0).subscribe([]string{malTopic("#")}, 0)
		a.each(8, func(i int) {
			for n := range 250 {
				k := a.s.connectAs("mal", fmt.Sprint("w", i, "-", n), 0)
				k.Will = &raw.Will{Topic: malTopic("will/", i, "-", n), Payload: strings.Repeat("x", 50_000), QoS: 1}
				a.connect(k, "tcp", true)
			}
		})
		a.isRunning()
	}},
	{name: "2,000 sessions with wills that end in the same second", memory: 384, keeps: 16, run: func(a *attacker) {
		a.client("mal", "s", 0).subscribe([]string{malTopic("#")}, 0)
		a.each(8, func(i int) {
			for n := range 250 {
				k := a.s.connectAs("mal", fmt.Sprint("w", i, "-", n), 2)
				k.Will = &raw.Will{Topic: malTopic("will/", i, "-", n), Payload: "x", QoS: 1, Retain: true, Props: raw.Props{raw.Num(raw.WillDelay, 1)}}
				a.connect(k, "tcp", true)
			}
		})
		a.leave()
		a.pause(3)
	}},
	{name: "sessions with 10,000 messages that end", keeps: 48, memory: 256, run: func(a *attacker) {
		all := a.clients(20, "mal", "s", 3600)
		for _, h := range all {
			h.subscribe([]string{malTopic("#")}, 1)
			h.close()
		}
		p := a.client("mal", "p", 0)
		for i := 0; i < 5000; i += 500 {
			p.send(newTopicMessages(malTopic(), i, 500, 1, "x"))
			p.await(raw.PUBACK, int64(i+500))
		}
		a.isRunning()
		for i := range all {
			a.connect(a.s.connectAs("mal", fmt.Sprint("s", i), 0), "tcp", false).close()
		}
	}},
	{name: "queued messages that expire at once", keeps: 48, memory: 256, run: func(a *attacker) {
		for _, h := range a.clients(20, "mal", "s", 3600) {
			h.subscribe([]string{malTopic("#")}, 1)
			h.close()
		}
		p := a.client("mal", "p", 0)
		for i := range 5000 {
			p.send(publish(malTopic(i), "x", 1, 1+i, raw.Num(raw.MessageExpiry, 2)))
			if i%500 == 499 {
				p.await(raw.PUBACK, int64(i+1))
			}
		}
		a.isRunning()
		a.pause(2)
	}},
}

// pause waits some seconds for the prepared events.
func (a *attacker) pause(seconds int) { time.Sleep(time.Duration(seconds) * time.Second) }
