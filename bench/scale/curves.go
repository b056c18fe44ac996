package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/outcry-mqtt/outcry/bench"
)

// scale runs all measurements. 'Cost' is processor time of the broker, which other load on the machine hardly
// changes.
type scale struct {
	ctx     context.Context
	program string
	size    size
	rounds  string // of the Go benchmarks, as in -benchtime
	seconds time.Duration
	warmup  time.Duration
	faults  []string // failed measurements, with the reason
}

// size is the extent of the measurements.
type size struct {
	subscribers []int  // with sockets
	memory      string // clients in memory: a pattern of numbers
	topics      []int
	retained    []int
	each        string // subscriptions of a client: likewise
	filters     string // matching filters: likewise
}

var (
	full = size{
		subscribers: []int{10, 30, 100, 300, 1000, 3000, 10_000, 19_000}, memory: "1000+",
		topics: []int{1, 10, 100, 1000, 10_000, 100_000, 300_000, 1_000_000}, retained: []int{100, 1000, 10_000, 100_000, 1_000_000},
		each: "[0-9]+", filters: "[0-9]+",
	}
	quick = size{
		subscribers: []int{10, 100, 1000}, memory: "10000?",
		topics: []int{1, 100, 10_000}, retained: []int{100, 10_000}, each: "(2|100)", filters: "(1|100)",
	}
)

// measureAll measures every chart.
func (s *scale) measureAll() ([]*chart, error) {
	var charts []*chart
	for _, measure := range []func() ([]*chart, error){s.subscribers, s.topics, s.retained, s.subscriptions, s.wildcards, s.shards} {
		some, err := measure()
		if err != nil {
			return nil, err
		}
		charts = append(charts, some...)
	}
	return charts, nil
}

// withBroker runs work with a new broker. It records a failure, and returns an error only if the run was interrupted.
func (s *scale) withBroker(what string, shards int, work func(*broker) error) error {
	b, err := start(s.ctx, s.program, shards)
	if err != nil {
		return err
	}
	defer b.stop()
	err = work(b)
	if err == nil || s.ctx.Err() != nil || errors.Is(err, bench.ErrUnsupported) {
		return err
	}
	s.faults = append(s.faults, fmt.Sprintf("%s: %s", what, strings.ReplaceAll(err.Error(), "\n", "; ")))
	fmt.Fprintln(os.Stderr, s.faults[len(s.faults)-1])
	return nil
}

// bench runs a load with a broker, and returns the report. The broker's failures are an error.
func (s *scale) bench(b *broker, o bench.Options) (*bench.Report, error) {
	o.URL, o.PID, o.Version, o.SubscribeQoS = b.url, b.PID, 4, -1
	o.Warmup, o.Duration = s.warmup, s.seconds
	r, err := bench.Run(s.ctx, o)
	if err != nil {
		return nil, err
	}
	if wrong := r.Failures(true); len(wrong) > 0 {
		return nil, fmt.Errorf("%s: %v", o.Scenario, wrong)
	}
	fmt.Fprintf(os.Stderr, "%s: %d subscribers, %d topics, window %d: done\n", o.Scenario, o.Subscribers, o.Topics, o.Window)
	return r, nil
}

// subscribers measures one publisher and a growing room, over sockets and in memory.
func (s *scale) subscribers() ([]*chart, error) {
	single, many := &curve{Name: "sockets, a message at a time"}, &curve{Name: "sockets, 60 messages under way"}
	windows := map[*curve]int{single: 1, many: 60}
	for _, n := range s.size.subscribers {
		err := s.withBroker(fmt.Sprintf("%d subscribers", n), 0, func(b *broker) error {
			for _, c := range []*curve{many, single} {
				r, err := s.bench(b, bench.Options{Scenario: bench.Fanout, Subscribers: n, Window: windows[c]})
				if err != nil {
					return err
				}
				c.add(float64(n), r.Process.PerMessage)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	memory, err := benchmark(s.ctx, "./broker", "Memory/tcp/clients=("+s.size.memory+")$", s.rounds)
	if err != nil {
		return nil, err
	}
	const prefix = "Memory/tcp/clients="
	cost := &chart{
		File: "subscribers", Title: "A delivery, by subscribers of the room", X: "subscribers", Y: "µs of processor time",
		note: "Broker processor time per delivery, 64 bytes, QoS 0. Sockets: `outcry bench fanout` with `--window 1` and `--window 60`, generator and " +
			"broker on the same machine; with `--window 1` each message costs a system call per subscriber. Memory: the engine without system calls.",
		Curves: []*curve{single, many, memory.curve("memory", prefix, "cpu-ns/delivery", 1e-3)},
	}
	bytes := &chart{
		File: "connections", Title: "A connection, by connections", X: "connections", Y: "bytes",
		note: "Through memory: the size of an idle connection, on the heap and in the resident set, and of its first subscription. " +
			"The last column is the number of admitted connections per second, including garbage collection.",
		Curves: []*curve{
			memory.curve("heap bytes", prefix, "heapB/conn", 1), memory.curve("resident bytes", prefix, "residentB/conn", 1),
			memory.curve("heap bytes of the first subscription", prefix, "heapB/sub", 1),
		},
		columns: []*curve{memory.curve("connects a second", prefix, "connects/s", 1)},
	}
	return []*chart{cost, bytes}, nil
}

// topics measures one publisher with a growing number of topics.
func (s *scale) topics() ([]*chart, error) {
	heard, memory := &curve{Name: "message"}, &curve{Name: "MiB of memory at its peak"}
	for _, n := range s.size.topics {
		err := s.withBroker(fmt.Sprintf("%d topics", n), 0, func(b *broker) error {
			o := bench.Options{Scenario: bench.Fanout, Subscribers: 1, Topics: n, Wildcard: true, Window: 1000}
			r, err := s.bench(b, o)
			if err != nil {
				return err
			}
			heard.add(float64(n), r.Process.PerMessage)
			memory.add(float64(n), float64(r.Process.Peak)/(1<<20))
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return []*chart{{
		File: "topics", Title: "A message, by topics", X: "topics", Y: "µs of processor time",
		note:   "Broker processor time per message of a publisher that cycles through the topics, with one subscriber of all topics and 1,000 messages in flight.",
		Curves: []*curve{heard}, columns: []*curve{memory},
	}}, nil
}

// replays is the minimum number of replayed retained messages, spread over as many subscribers as needed, so that
// little else contributes to the cost of each.
const replays = 100_000

// retained measures a growing number of retained messages: stored, then all of them replayed.
func (s *scale) retained() ([]*chart, error) {
	stored, replayed, memory := &curve{Name: "stored"}, &curve{Name: "replayed"}, &curve{Name: "bytes of memory each"}
	for _, n := range s.size.retained {
		err := s.withBroker(fmt.Sprintf("%d retained messages", n), 0, func(b *broker) error {
			r, err := s.bench(b, bench.Options{Scenario: bench.Retained, Topics: n, Subscribers: max(replays/n, 1), Keep: true, Drain: 20 * time.Second})
			if err != nil {
				return err
			}
			stored.add(float64(n), r.Fill.Seconds*1e6/float64(n))
			replayed.add(float64(n), r.Process.PerMessage)
			memory.add(float64(n), float64(r.Fill.Memory)/float64(n))
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return []*chart{{
		File: "retained", Title: "A retained message, by retained messages", X: "retained messages", Y: "µs",
		note: "Stored: time per message until all are on disk and acknowledged (QoS 1, 1,000 in flight, one publisher). Replayed: broker processor " +
			"time per message sent to new subscribers of `#`, including their connections, with enough subscribers for 100,000 messages. With few messages, memory is mostly the growth of the process itself.",
		Curves: []*curve{stored, replayed}, columns: []*curve{memory},
	}}, nil
}

// subscriptions measures a growing number of subscriptions of a client.
func (s *scale) subscriptions() ([]*chart, error) {
	r, err := benchmark(s.ctx, "./broker", "Subscriptions/each=("+s.size.each+")$", "3x")
	if err != nil {
		return nil, err
	}
	const prefix = "Subscriptions/each="
	return []*chart{{
		File: "subscriptions", Title: "A subscription, by subscriptions of a client", X: "subscriptions of a client", Y: "ns, bytes",
		note: "Through memory: time and size per subscription, with 20,000 subscriptions in total, each to its own filter of 20 bytes, in packets of at most 1,000 filters. " +
			"With few filters per packet, the packet and its answer are a large part of the time.",
		Curves: []*curve{r.curve("ns to subscribe", prefix, "ns/sub", 1), r.curve("heap bytes", prefix, "heapB/sub", 1)},
	}}, nil
}

// wildcards measures topics of growing depth, and a growing number of matching filters.
func (s *scale) wildcards() ([]*chart, error) {
	depth, err := benchmark(s.ctx, "./broker/topic", "FiltersDepth", "0.2s")
	if err != nil {
		return nil, err
	}
	matching, err := benchmark(s.ctx, "./broker", "Matching/filters=("+s.size.filters+")$", "10x")
	if err != nil {
		return nil, err
	}
	return []*chart{{
		File: "depth", Title: "Looking a topic up, by its levels", X: "levels", Y: "ns",
		note: "Needed once per topic and change of subscriptions, not per message: the topic has this number of levels, and matches a filter of `+` only and one with `#` at each level. " +
			"128 levels are the default limit.",
		Curves: []*curve{depth.curve("look-up", "FiltersDepth/levels=", "ns/op", 1)},
	}, {
		File: "matching", Title: "A message, by filters of the subscriber that match it", X: "matching filters", Y: "µs of processor time",
		note:   "Through memory: the client has this number of wildcard filters that match the message's topic of 14 levels, and receives the message once.",
		Curves: []*curve{matching.curve("message", "Matching/filters=", "cpu-ns/message", 1e-3)},
	}}, nil
}

// shards measures the same work with one shard and with two.
func (s *scale) shards() ([]*chart, error) {
	works := []struct {
		name string
		o    bench.Options
	}{
		{"fan-out to 1,000", bench.Options{Scenario: bench.Fanout, Subscribers: 1000}},
		{"50 pairs, QoS 0", bench.Options{Scenario: bench.Pairs, Clients: 50}},
		{"50 pairs, QoS 1", bench.Options{Scenario: bench.Pairs, Clients: 50, QoS: 1}},
	}
	c := &chart{
		File: "shards", Title: "Deliveries a second, by shards", X: "shards", Y: "deliveries a second",
		note: "A closed loop over sockets, with generator and broker on the same processors: with two processors, the generator uses the second one.",
	}
	for _, w := range works {
		rate, cost := &curve{Name: w.name}, &curve{Name: w.name + ", µs each"}
		for shards := 1; shards <= 2; shards++ {
			err := s.withBroker(fmt.Sprintf("%s with %d shards", w.name, shards), shards, func(b *broker) error {
				r, err := s.bench(b, w.o)
				if err != nil {
					return err
				}
				rate.add(float64(shards), r.Messages.ReceivedPerSecond)
				cost.add(float64(shards), r.Process.PerMessage)
				return nil
			})
			if err != nil {
				return nil, err
			}
		}
		c.Curves, c.columns = append(c.Curves, rate), append(c.columns, cost)
	}
	return []*chart{c}, nil
}
