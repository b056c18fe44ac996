package main

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/outcry-mqtt/outcry/bench"
)

// work is a scenario that every peer performs.
type work struct {
	name    string // as in --works
	title   string
	level   level
	scheme  scheme
	run     bench.Options
	windows []int    // messages in flight of a publisher; the best of them counts for each peer; 0: the default
	peers   []string // those with MQTT; nil: all
	halfOf  string   // name of the work whose throughput is halved for this one's rate, for each peer and Outcry beside it
	figures []figure
}

// level selects the works of a run without --works.
type level uint8

const (
	quick level = iota // with --quick, too
	usual
	full // with --works all only
)

// Some peers are fastest with many messages in flight, some with few. Receivers of QoS 1 and 2 commonly allow 20 to
// 100.
var (
	fanoutWindows = []int{0, 20}
	crowdWindows  = []int{0, 60}
	pairsWindows  = []int{0, 50}
	oneWindow     = []int{0}
)

// works returns all works, in the order of the table.
func works(o options) (all []work) {
	for _, group := range []func(options) []work{fanouts, rooms, pairs, halves, payloads, quiets, connections} {
		all = append(all, group(o)...)
	}
	for i := range all {
		r := &all[i].run
		r.Version, r.SubscribeQoS = 4, -1
		r.Warmup, r.Duration, r.Drain, r.Stall = time.Second, o.seconds, 3*time.Second, 3*time.Second
		if all[i].windows == nil {
			all[i].windows = oneWindow
		}
	}
	return all
}

func fanouts(options) (all []work) {
	for _, over := range []struct {
		scheme scheme
		title  string
		levels [3]level // for 100, 1,000 and 10,000 subscribers
	}{
		{overTCP, "TCP", [3]level{full, quick, full}},
		{overWebSocket, "WebSocket", [3]level{full, quick, full}},
		{overTLS, "TLS", [3]level{full, usual, full}},
	} {
		for i, n := range []int{100, 1000, 10_000} {
			w := work{
				name: fmt.Sprintf("fanout-%s-%d", strings.ToLower(over.title), n), title: fmt.Sprintf("fan-out to %d over %s", n, over.title),
				level: over.levels[i], scheme: over.scheme, run: bench.Options{Scenario: bench.Fanout, Subscribers: n},
				windows: fanoutWindows, figures: throughput,
			}
			if n == 10_000 {
				w.windows = crowdWindows
			}
			all = append(all, w)
		}
	}
	return all
}

// rooms returns fan-outs of other shapes.
func rooms(options) []work {
	return []work{
		{
			name: "room", title: "10000 subscribers of one room, 10 messages a second", level: usual, scheme: overTCP,
			run: bench.Options{Scenario: bench.Fanout, Subscribers: 10_000, Rate: 10}, figures: []figure{lost, p50, p99, perMessage},
		},
		{
			name: "tickers", title: "1000 subscribers of 500 tickers by a wildcard", level: usual, scheme: overTCP,
			run: bench.Options{Scenario: bench.Fanout, Subscribers: 1000, Topics: 500, Wildcard: true}, figures: throughput,
		},
		{
			name: "shared", title: "100 publishers, 4 subscribers with a shared subscription, QoS 1", level: usual, scheme: overTCP,
			run: bench.Options{Scenario: bench.Fanin, Publishers: 100, Subscribers: 4, Shared: true, QoS: 1}, figures: throughput,
		},
	}
}

func pairs(options) (all []work) {
	for qos := range byte(3) {
		all = append(all, work{
			name: fmt.Sprintf("pairs-%d", qos), title: fmt.Sprintf("50 pairs, QoS %d", qos), level: quick, scheme: overTCP,
			run: bench.Options{Scenario: bench.Pairs, Clients: 50, QoS: qos}, windows: pairsWindows, figures: throughput,
		})
	}
	return all
}

// halves returns works at half of each peer's throughput, and Outcry at the same rate.
func halves(o options) (all []work) {
	half := func(name string, of work, l level) {
		of.name, of.title, of.level, of.halfOf = name, of.title+", at half of the peer's limit", l, of.name
		of.windows, of.figures = nil, []figure{p99, p999}
		all = append(all, of)
	}
	for _, w := range fanouts(o) {
		if w.run.Subscribers == 1000 && w.scheme != overTLS {
			half("half-"+w.name, w, usual)
		}
	}
	for qos, w := range pairs(o) {
		half(fmt.Sprintf("half-%d", qos), w, []level{usual, usual, full}[qos])
	}
	return all
}

// fan returns the number of deliveries of a message.
func (w work) fan() float64 {
	if w.run.Scenario == bench.Fanout {
		return float64(w.run.Subscribers)
	}
	return 1
}

func payloads(options) (all []work) {
	for _, p := range []struct {
		name, title         string
		bytes, heard, under int
		level               level
	}{
		{"16", "16 B", 16, 100, 0, full},
		{"1k", "1 KiB", 1 << 10, 100, 100, usual},
		{"64k", "64 KiB", 64 << 10, 100, 8, full},
		{"1m", "1 MiB", 1 << 20, 10, 4, full},
	} {
		all = append(all, work{
			name: "payload-" + p.name, title: fmt.Sprintf("fan-out of %s to %d", p.title, p.heard), level: p.level, scheme: overTCP,
			run:     bench.Options{Scenario: bench.Fanout, Subscribers: p.heard, Payload: p.bytes},
			windows: []int{p.under}, figures: throughput,
		})
	}
	return all
}

func quiets(options) []work {
	return []work{{
		name: "quiet", title: "100 pairs, 2000 messages a second in all", level: quick, scheme: overTCP,
		run: bench.Options{Scenario: bench.Pairs, Clients: 100, Rate: 2000}, figures: []figure{perMessage, p50, p99, p999},
	}}
}

func connections(o options) (all []work) {
	idle := bench.Options{Scenario: bench.Conns, Clients: o.clients}
	for _, over := range []struct {
		scheme scheme
		title  string
	}{{overTCP, "TCP"}, {overWebSocket, "WebSocket"}} {
		all = append(all, work{
			name: "idle-" + strings.ToLower(over.title), title: fmt.Sprintf("%d idle connections over %s", o.clients, over.title), level: usual,
			scheme: over.scheme, run: idle, figures: []figure{idleBytes, connects, perConnect},
		})
	}
	return append(all, work{
		name: "storm", title: "10000 clients connect and subscribe at once", level: usual, scheme: overTCP,
		run: bench.Options{Scenario: bench.Storm, Clients: 10_000}, peers: []string{"outcry", "mosquitto"}, figures: []figure{allIn, refusals},
	})
}

// selectWorks returns the works selected by the options.
func selectWorks(o options) (some []work, err error) {
	most := usual
	patterns := strings.FieldsFunc(o.works, func(r rune) bool { return r == ',' })
	switch {
	case o.works == "all":
		most, patterns = full, nil
	case o.quick && o.works != "":
		return nil, errors.New("--quick chooses works itself; leave out one of --quick and --works")
	case o.quick:
		most = quick
	}
	found := map[string]bool{}
	for _, w := range works(o) {
		wanted := len(patterns) == 0 && w.level <= most
		for _, p := range patterns {
			if matches, err := path.Match(p, w.name); err != nil {
				return nil, fmt.Errorf("--works %s: %w", p, err)
			} else if matches {
				wanted, found[p] = true, true
			}
		}
		if wanted {
			some = append(some, w)
		}
	}
	for _, p := range patterns {
		if !found[p] {
			return nil, fmt.Errorf("--works: no work is called %s; there are %s", p, strings.Join(workNames(), ", "))
		}
	}
	return some, nil
}

func workNames() (names []string) {
	for _, w := range works(options{}) {
		names = append(names, w.name)
	}
	return names
}

// command returns the equivalent outcry bench command.
func (w work) command() string {
	o := w.run
	parts := []string{"outcry bench", string(o.Scenario)}
	add := func(flag string, n int, plain int) {
		if n != plain {
			parts = append(parts, fmt.Sprintf("%s %d", flag, n))
		}
	}
	add("--clients", o.Clients, 0)
	add("--publishers", o.Publishers, 0)
	add("--subscribers", o.Subscribers, 0)
	add("--topics", o.Topics, 0)
	add("--payload", o.Payload, 0)
	add("-q", int(o.QoS), 0)
	if o.Wildcard {
		parts = append(parts, "--wildcard")
	}
	if o.Shared {
		parts = append(parts, "--shared")
	}
	parts = append(parts, "-V 4", "--pid PID", "--url "+string(w.scheme)+"://127.0.0.1:PORT"+map[scheme]string{overWebSocket: "/mqtt"}[w.scheme])
	if w.scheme == overTLS {
		parts = append(parts, "--insecure")
	}
	switch {
	case w.halfOf != "":
		parts = append(parts, fmt.Sprintf("-d %v --rate HALF", o.Duration))
	case o.Rate > 0:
		parts = append(parts, fmt.Sprintf("-d %v --rate %v", o.Duration, o.Rate))
	case o.Scenario != bench.Conns && o.Scenario != bench.Storm:
		parts = append(parts, fmt.Sprintf("-d %v", o.Duration))
		if len(w.windows) > 1 {
			parts = append(parts, fmt.Sprintf("[--window %d]", w.windows[1]))
		} else if w.windows[0] > 0 {
			parts = append(parts, fmt.Sprintf("--window %d", w.windows[0]))
		}
	}
	return strings.Join(parts, " ")
}
