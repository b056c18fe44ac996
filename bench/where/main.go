// Command where attributes a broker's processor time to its parts, from the traces of a CPU profile:
//
//	curl -o cpu.pb 'http://127.0.0.1:9090/debug/pprof/profile?seconds=5'
//	go tool pprof -traces bin/outcry cpu.pb | go run ./bench/where
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

// part is a purpose of processor time.
type part struct {
	name      string
	functions []string // names, or prefixes of them
}

// parts list functions without the path of the module. A trace belongs to the part with its innermost function that
// any part lists.
var parts = []part{
	{"kernel: writing to sockets", []string{"internal/poller.WriteFD", "internal/poller.WriteTwoFD", "internal/poller.SendFD"}},
	{"kernel: reading from sockets", []string{"internal/poller.ReadFD", "internal/poller.PeerClosed"}},
	{"kernel: waiting and waking (epoll)", []string{"internal/poller."}},
	{"decode, unmask", []string{
		"internal/wire.Decode", "broker.(*webSocket)", "broker.(*conn).parse", "broker.(*conn).feed", "broker.(*conn).packet",
		"broker.(*conn).received", "broker.(*conn).readable",
	}},
	{"route: topic, rules, shards", []string{
		"broker.(*conn).onPublish", "broker.(*conn).topicOf", "broker.(*conn).accept", "broker.(*conn).mayPublish", "broker.(*topicCache)",
		"broker.(*shard).publish", "broker.(*shard).hand", "broker.(*router)", "broker.(*batch).add", "broker/topic.",
	}},
	{"deliver: encode, outboxes, in-flight windows", []string{
		"broker.(*shard).deliver", "broker.(*encoder)", "broker.(*shard).handDelivery", "broker.(*conn).deliver", "broker.(*conn).sendPublish", "broker.(*conn).sent",
		"broker.(*session)", "broker.(*message)", "broker.(*outbox)", "broker.(*inflight)", "broker.(*queue)", "broker.(*batch).run",
		"internal/wire.Append",
	}},
	{"acknowledge", []string{
		"broker.(*conn).onAck", "broker.(*conn).onPubrel", "broker.(*conn).acknowledge", "broker.(*conn).sendAck", "broker.(*conn).duplicate",
		"broker.(*unreleased)", "internal/wire.AppendAck",
	}},
	{"flush, without the kernel", []string{"broker.(*shard).flush", "broker.(*conn).flush", "broker.(*conn).write"}},
	{"allocate", []string{"runtime.mallocgc", "runtime.growslice"}},
	{"collect garbage", []string{"runtime.gcBgMarkWorker", "runtime.gcAssistAlloc", "runtime.wbBufFlush", "runtime.bulkBarrierPreWrite", "runtime.bgsweep", "runtime.bgscavenge", "runtime.gcStart"}},
	{"TLS", []string{"crypto/tls."}},
	{"store", []string{"broker.(*shard).commit", "hooks/boltstore.", "go.etcd.io/bbolt."}},
	{"timers", []string{"internal/wheel."}},
	{"the rest of the shards' turns", []string{"broker.(*shard).turn", "broker.(*shard).run"}},
}

const rest = "Go's scheduler, and everything else"

func main() {
	spent, err := read(os.Stdin)
	if err == nil && len(spent) == 0 {
		err = fmt.Errorf("no traces; pipe go tool pprof -traces PROGRAM PROFILE into this")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "where:", err)
		os.Exit(1)
	}
	show(os.Stdout, spent)
}

// read adds up the traces: each begins with a line of dashes, its first line has its time, and its functions come
// innermost first.
func read(in io.Reader) (spent map[string]time.Duration, err error) {
	spent = map[string]time.Duration{}
	var took time.Duration
	var functions []string
	begun := false
	add := func() {
		if took > 0 {
			spent[partOf(functions)] += took
		}
		took, functions = 0, functions[:0]
	}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if strings.HasPrefix(line, "-----------+") {
			add()
			begun = true
			continue
		}
		fields := strings.Fields(line)
		if !begun || len(fields) == 0 {
			continue
		}
		if len(functions) == 0 && len(fields) > 1 {
			if took, err = time.ParseDuration(fields[0]); err != nil {
				return nil, fmt.Errorf("%q does not begin with a time: %w", line, err)
			}
			fields = fields[1:]
		}
		functions = append(functions, fields[0])
	}
	add()
	return spent, lines.Err()
}

// partOf returns the part that a trace belongs to.
func partOf(functions []string) string {
	for _, f := range functions {
		best, length := "", 0 // the longest matching name wins
		for _, p := range parts {
			for _, begins := range p.functions {
				if len(begins) > length && hasPrefix(f, begins) {
					best, length = p.name, len(begins)
				}
			}
		}
		if best != "" {
			return best
		}
	}
	return rest
}

// hasPrefix reports whether a function's name, without the path of its module, has a prefix.
func hasPrefix(function, begins string) bool {
	at := strings.Index(function, begins)
	return at == 0 || at > 0 && function[at-1] == '/'
}

func show(out io.Writer, spent map[string]time.Duration) {
	var names []string
	var all time.Duration
	for name, d := range spent {
		names, all = append(names, name), all+d
	}
	slices.SortFunc(names, func(a, b string) int { return int(spent[b] - spent[a]) })
	for _, name := range names {
		fmt.Fprintf(out, "%5.1f%%  %8v  %s\n", 100*float64(spent[name])/float64(all), spent[name].Round(10*time.Millisecond), name)
	}
	fmt.Fprintf(out, "        %8v  in all\n", all.Round(10*time.Millisecond))
}
