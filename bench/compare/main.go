// Command compare gives Outcry and its peers the same work, one after the other and alone, and writes the results as
// a table of ratios. It reports peers whose requirements are missing, and compares the others.
//
//	go run ./bench/compare --write docs/benchmarks.md
//	go run ./bench/compare --works 'fanout-*,quiet' --peers mosquitto,nats
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

	"golang.org/x/term"
)

// options are the command's flags.
type options struct {
	seconds time.Duration // measured time of each work
	clients int           // idle clients
	rounds  int
	works   string // names or patterns, separated by commas; "": the usual works; all: all
	quick   bool   // only the shortest list of works
	peers   string // names, separated by commas; "": all
	marker  string // name of the marked part of the file
	write   string // file with the marked part to replace; "": standard output
}

func main() {
	var o options
	flag.DurationVar(&o.seconds, "seconds", 2*time.Second, "time that each work is measured, after a second of warming up")
	flag.IntVar(&o.clients, "clients", 5000, "idle connections")
	flag.IntVar(&o.rounds, "rounds", 1, "number of rounds; medians are written")
	flag.StringVar(&o.works, "works", "", "names and patterns with commas, of "+strings.Join(workNames(), ", ")+"; or all (default: those that take some ten minutes)")
	flag.BoolVar(&o.quick, "quick", false, "only the most important works")
	flag.StringVar(&o.peers, "peers", "", "names with commas: outcry and some of "+strings.Join(peerNames(), ", ")+" (default: all but limit and limit-2)")
	flag.StringVar(&o.marker, "marker", "compare", "name of the markers in the file")
	flag.StringVar(&o.write, "write", "", "Markdown file to write the table into, between the markers <!-- compare --> and <!-- /compare -->")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	if flag.NArg() > 0 {
		return fmt.Errorf("%q is no flag; see --help", flag.Arg(0))
	}
	works, err := selectWorks(o)
	if err != nil {
		return err
	}
	c := &comparison{results: results{options: o, works: works, load: loadAverage()}}
	if c.folder, err = os.MkdirTemp("", "compare-"); err != nil {
		return err
	}
	defer os.RemoveAll(c.folder)
	if c.certificate, err = newCertificate(c.folder); err != nil {
		return err
	}
	if c.peers, c.missing, err = prepare(ctx, o, c.folder); err != nil {
		return err
	}
	c.began = time.Now()
	c.line = &progress{out: os.Stderr, live: term.IsTerminal(int(os.Stderr.Fd())), began: c.began, count: countRuns(works, c.peers, o.rounds)}
	if err := c.runAll(ctx); err != nil {
		return err
	}
	return c.write()
}

// prepare builds or finds the peers. It fails only if Outcry itself cannot be built, or if a named peer is missing.
func prepare(ctx context.Context, o options, folder string) (there []*peer, missing []string, err error) {
	wanted := strings.FieldsFunc(o.peers, func(r rune) bool { return r == ',' })
	for _, name := range wanted {
		if !slices.Contains(peerNames(), name) {
			return nil, nil, fmt.Errorf("there is no peer %q; there are %s", name, strings.Join(peerNames(), ", "))
		}
	}
	for _, p := range allPeers() {
		asked := slices.Contains(wanted, p.name) || len(wanted) == 0 && !p.bare
		if !asked && p.name != "outcry" {
			continue
		}
		fmt.Fprintf(os.Stderr, "preparing %s\n", p.name)
		version, err := p.prepare(ctx, folder)
		switch {
		case ctx.Err() != nil:
			return nil, nil, errors.New("interrupted")
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
