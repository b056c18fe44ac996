package main

import (
	"slices"
	"strings"
	"testing"
)

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
