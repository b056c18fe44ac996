// Command compare gives Outcry and its peers the same work, each in turn and alone, and writes what came of it as a table
// of ratios. What a peer needs and is not there is said, and the others are compared.
//
//	go run ./bench/compare --write docs/benchmarks.md
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options are the command's flags.
type options struct {
	seconds     time.Duration // of each work
	subscribers int
	clients     int // that do nothing
	rounds      int
	peers       string // names, with commas; "": all
	write       string // file whose marked part is replaced; "": standard output
}

func main() {
	var o options
	flag.DurationVar(&o.seconds, "seconds", 4*time.Second, "time that each work is measured")
	flag.IntVar(&o.subscribers, "subscribers", 1000, "subscribers of the fan-outs")
	flag.IntVar(&o.clients, "clients", 5000, "connections that do nothing")
	flag.IntVar(&o.rounds, "rounds", 1, "how often everything is done; medians are written")
	flag.StringVar(&o.peers, "peers", "", "names with commas: outcry and some of "+strings.Join(peerNames(), ", ")+" (default: all)")
	flag.StringVar(&o.write, "write", "", "Markdown file with the markers "+beginMarker+" and "+endMarker+" to write the tables into")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	folder, err := os.MkdirTemp("", "compare-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	there, missing, err := prepare(ctx, o, folder)
	if err != nil {
		return err
	}
	r := &results{options: o, missing: missing, load: loadAverage()}
	for _, p := range there {
		r.peers = append(r.peers, p.title)
	}
	for round := range o.rounds {
		for _, w := range works(o) {
			for _, p := range there {
				if !p.does(w) {
					continue
				}
				if err := measure(ctx, r, p, w, folder, round); err != nil {
					return err
				}
			}
		}
	}
	return r.write()
}

// prepare builds and looks for what the peers need. It is an error only if Outcry itself cannot be built, or if a peer
// was named that there is not.
func prepare(ctx context.Context, o options, folder string) (there []*peer, missing []string, err error) {
	wanted := strings.FieldsFunc(o.peers, func(r rune) bool { return r == ',' })
	for _, name := range wanted {
		if !slices.Contains(peerNames(), name) {
			return nil, nil, fmt.Errorf("there is no peer %q; there are %s", name, strings.Join(peerNames(), ", "))
		}
	}
	for _, p := range allPeers() {
		if len(wanted) > 0 && !slices.Contains(wanted, p.name) && p.name != "outcry" {
			continue
		}
		fmt.Fprintf(os.Stderr, "preparing %s\n", p.name)
		version, err := p.prepare(ctx, folder)
		switch {
		case ctx.Err() != nil:
			return nil, nil, context.Cause(ctx)
		case err != nil && p.name == "outcry":
			return nil, nil, err
		case err != nil:
			missing = append(missing, fmt.Sprintf("%s: %v", p.title, err))
			fmt.Fprintf(os.Stderr, "%s is missing: %v\n", p.title, err)
			continue
		}
		p.title = strings.TrimSpace(p.title + " " + version)
		there = append(there, p)
	}
	return there, missing, nil
}

// measure starts a peer freshly, gives it one work, and stops it.
func measure(ctx context.Context, r *results, p *peer, w work, folder string, round int) error {
	fmt.Fprintf(os.Stderr, "%s: %s", p.title, w.title)
	report, err := best(ctx, p, w, folder)
	if ctx.Err() != nil {
		return errors.New("interrupted: nothing was written")
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, ": %v\n", err)
		r.fail(p, w, round, err)
		return nil
	}
	r.add(p, w, round, report)
	fmt.Fprintf(os.Stderr, ": %s\n", w.figures[0].format(w.figures[0].of(report)))
	return nil
}
