package main

import (
	"errors"
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
		{"empty", "a\n" + beginMarker + endMarker + "\nb", "a\n" + beginMarker + "\nnew\n" + endMarker + "\nb", false},
		{"again", beginMarker + "\nold\n" + endMarker, beginMarker + "\nnew\n" + endMarker, false},
		{"no marker", "a", "", true},
		{"wrong order", endMarker + beginMarker, "", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := replaceMarked(tt.old, "new\n")
			if got != tt.want || (err != nil) != tt.fails {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

func TestRatioSaysHowMuchBetterOutcryIs(t *testing.T) {
	for _, tt := range []struct {
		ours, theirs float64
		less         bool
		want         string
	}{{200, 100, false, "2×"}, {100, 200, false, "0.5×"}, {1, 250.4, true, "250×"}, {3, 1, true, "0.33×"}} {
		if got := ratio(tt.ours, tt.theirs, tt.less); got != tt.want {
			t.Errorf("%v beside %v, less is better %v: %s, want %s", tt.ours, tt.theirs, tt.less, got, tt.want)
		}
	}
}

// The table has medians, ratios, gaps for what could not be done, and what went wrong.
func TestMarkdown(t *testing.T) {
	o := options{seconds: time.Second, subscribers: 10, clients: 20, rounds: 3}
	r := &results{options: o, peers: []string{"Outcry", "Peer 1.2.3"}, missing: []string{"Other: install it"}}
	w := works(o)[0]
	for _, per := range []float64{100, 5000, 2000} {
		r.add(&peer{title: "Outcry"}, w, 0, deliveredAt(per))
	}
	lossy := deliveredAt(500)
	lossy.Messages.Lost = 7
	r.add(&peer{title: "Peer 1.2.3"}, w, 0, lossy)
	r.fail(&peer{title: "Peer 1.2.3"}, works(o)[1], 2, errors.New("it\nfell over"))
	text := r.markdown()
	for _, want := range []string{
		"| fan-out to 10 over TCP | deliveries a second | 2.0 k | 500 (4×) |",
		"|  | processor per delivery | 1 µs | 1 µs (1×) |",
		"| fan-out to 10 over WebSocket | deliveries a second | – | – |",
		"- Peer 1.2.3, fan-out to 10 over TCP, round 1: 7 messages were lost",
		"- Peer 1.2.3, fan-out to 10 over WebSocket, round 3: it; fell over",
		"- Other: install it",
		"outcry bench pairs --clients 50 -q 2 -V 4 --pid PID --url mqtt://127.0.0.1:PORT -d 1s [--window 50]",
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
