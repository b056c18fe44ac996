package main

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/bench"
)

func TestReplaceMarked(t *testing.T) {
	for _, tt := range []struct {
		name, old, want string
		fails           bool
	}{
		{"empty", "a\n<!-- x --><!-- /x -->\nb", "a\n<!-- x -->\nnew\n<!-- /x -->\nb", false},
		{"again", "<!-- x -->\nold\n<!-- /x -->", "<!-- x -->\nnew\n<!-- /x -->", false},
		{"no marker", "a", "", true},
		{"another's", "<!-- y --><!-- /y -->", "", true},
		{"wrong order", "<!-- /x --><!-- x -->", "", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := replaceMarked(tt.old, "x", "new\n")
			if got != tt.want || (err != nil) != tt.fails {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

func TestRatioSaysHowMuchBetterOutcryIs(t *testing.T) {
	for _, tt := range []struct {
		ours, theirs float64
		better       better
		want         string
	}{
		{200, 100, more, "2×"}, {100, 200, more, "0.5×"}, {1, 250.4, less, "250×"}, {3, 1, less, "0.33×"},
		{1, 2, neither, ""}, {0, 2, more, ""}, {2, 0, less, ""},
	} {
		if got := (figure{better: tt.better}).ratio(tt.ours, tt.theirs); got != tt.want {
			t.Errorf("%v beside %v, %v: %s, want %s", tt.ours, tt.theirs, tt.better, got, tt.want)
		}
	}
}

// The table has medians, ratios, gaps for unsupported works, and failures.
func TestMarkdown(t *testing.T) {
	o := options{seconds: time.Second, clients: 20, rounds: 3, works: "fanout-*-1000,pairs-0,half-0"}
	works, err := selectWorks(o)
	if err != nil || len(works) != 5 {
		t.Fatalf("%d works, %v", len(works), err)
	}
	other := &peer{title: "Peer 1.2.3"}
	r := &results{options: o, works: works, peers: []*peer{{title: "Outcry"}, other}, missing: []string{"Other: install it"}}
	w := works[0]
	for _, per := range []float64{100, 5000, 2000} {
		r.add("Outcry", w.title, deliveredAt(per))
	}
	lossy := deliveredAt(500)
	lossy.Messages.Lost = 7
	r.add(other.title, w.title, lossy)
	r.check(other.title, w, 0, lossy)
	r.fail(other, works[1], 2, errors.New("it\nfell over"))
	half := works[4]
	r.add(other.title, half.title, &bench.Report{Rate: 250, Latency: &bench.Latency{P99: 3000, P999: 9e6}})
	r.add(comparedWith(other.title), half.title, &bench.Report{Rate: 250, Latency: &bench.Latency{P99: 300, P999: 600}})
	text := r.markdown()
	for _, want := range []string{
		"| fan-out to 1000 over TCP | deliveries a second | 2.0 k | 500 (4×) |",
		"|  | processor per delivery | 1 µs | 1 µs (1×) |",
		"| fan-out to 1000 over WebSocket | deliveries a second | – | – |",
		"| 50 pairs, QoS 0, at half of the peer's limit | p99 | – | 3 ms (10×) at 250/s; Outcry 300 µs |",
		"- Peer 1.2.3, fan-out to 1000 over TCP, round 1: 7 messages were lost",
		"- Peer 1.2.3, fan-out to 1000 over WebSocket, round 3: it; fell over",
		"- Other: install it",
		"outcry bench fanout --subscribers 1000 -V 4 --pid PID --url mqtts://127.0.0.1:PORT --insecure -d 1s [--window 20]",
		"outcry bench pairs --clients 50 -V 4 --pid PID --url mqtt://127.0.0.1:PORT -d 1s --rate HALF",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func deliveredAt(perSecond float64) *bench.Report {
	return &bench.Report{
		Messages: &bench.Messages{ReceivedPerSecond: perSecond},
		Process:  &bench.Process{PerMessage: 1, Peak: 1 << 20},
	}
}

func namesOf(works []work) (names []string) {
	for _, w := range works {
		names = append(names, w.name)
	}
	return names
}

func TestChosenWorks(t *testing.T) {
	all := namesOf(works(options{}))
	for _, tt := range []struct {
		name        string
		o           options
		has, hasNot string
	}{
		{"usual", options{}, "fanout-tcp-1000 pairs-0 room idle-tcp storm", "fanout-tls-10000 payload-1m half-2"},
		{"quick", options{quick: true}, "fanout-tcp-1000 fanout-websocket-1000 pairs-2 quiet", "room storm idle-tcp fanout-tls-1000"},
		{"all", options{works: "all"}, strings.Join(all, " "), ""},
		{"named", options{works: "fanout-tls-*,quiet"}, "fanout-tls-100 fanout-tls-10000 quiet", "fanout-tcp-1000 room"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			some, err := selectWorks(tt.o)
			if err != nil {
				t.Fatal(err)
			}
			got := namesOf(some)
			for _, name := range strings.Fields(tt.has) {
				if !slices.Contains(got, name) {
					t.Errorf("%s is not among %v", name, got)
				}
			}
			for _, name := range strings.Fields(tt.hasNot) {
				if slices.Contains(got, name) {
					t.Errorf("%s is among %v", name, got)
				}
			}
		})
	}
}

func TestWorksThatThereAreNot(t *testing.T) {
	for _, tt := range []struct {
		o    options
		want string
	}{
		{options{works: "quiet,paris-0"}, "no work is called paris-0; there are fanout-tcp-100,"},
		{options{works: "fanout-["}, "syntax error in pattern"},
		{options{works: "quiet", quick: true}, "leave out one of"},
	} {
		if _, err := selectWorks(tt.o); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %q", tt.o, err, tt.want)
		}
	}
}

// Works have distinct names in the table and on the command line, and halfOf names a work.
func TestWorksAreWellNamed(t *testing.T) {
	seen := map[string]bool{}
	all := works(options{clients: 5})
	for _, w := range all {
		if seen[w.name] || seen[w.title] || len(w.figures) == 0 || len(w.windows) == 0 {
			t.Errorf("%s, %q: taken already, or without figures or windows", w.name, w.title)
		}
		seen[w.name], seen[w.title] = true, true
		if w.halfOf != "" && !slices.Contains(namesOf(all), w.halfOf) {
			t.Errorf("%s is half of %s, which there is not", w.name, w.halfOf)
		}
	}
}

// Peers without MQTT have WebSockets and QoS 0, and the bare loop has TCP without wildcards.
func TestWhoDoesWhat(t *testing.T) {
	for _, tt := range []struct{ peer, does, doesNot string }{
		{"outcry", "fanout-tls-100 storm room", ""},
		{"nats", "fanout-tls-100 room", "storm"},
		{"socket.io", "fanout-websocket-100 idle-websocket", "fanout-tcp-100 pairs-0"},
		{"limit", "fanout-tcp-100 pairs-0 quiet payload-1m", "pairs-1 tickers shared storm idle-tcp fanout-tls-100"},
	} {
		for _, p := range allPeers() {
			if p.name != tt.peer {
				continue
			}
			for _, w := range works(options{clients: 5}) {
				if slices.Contains(strings.Fields(tt.does), w.name) && !p.supports(w) || slices.Contains(strings.Fields(tt.doesNot), w.name) && p.supports(w) {
					t.Errorf("%s does %s: %v", p.name, w.name, p.supports(w))
				}
			}
		}
	}
}
