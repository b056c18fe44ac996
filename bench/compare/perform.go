package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/url"
	"time"

	"github.com/outcry-mqtt/outcry/bench"
)

// runTimeout bounds one run, including the peer's start. A slower peer is reported and skipped.
const runTimeout = 90 * time.Second

// comparison is one run of this command.
type comparison struct {
	results
	folder      string
	certificate certificate
	line        *progress
}

// runAll performs every work with every peer, round by round.
func (c *comparison) runAll(ctx context.Context) error {
	for round := range c.options.rounds {
		for _, w := range c.works {
			for _, p := range c.peers {
				if !p.supports(w) {
					continue
				}
				c.line.begin(p.title, w)
				text, err := c.measure(ctx, p, w, round)
				if ctx.Err() != nil {
					return errors.New("interrupted: no results were written")
				}
				if err != nil {
					text = err.Error()
					c.fail(p, w, round, err)
				}
				c.line.end(text)
			}
		}
	}
	return nil
}

// measure performs one work with a peer, and returns the first figure as text.
func (c *comparison) measure(ctx context.Context, p *peer, w work, round int) (text string, err error) {
	if w.halfOf != "" {
		return c.measureHalf(ctx, p, w, round)
	}
	report, err := c.best(ctx, p, w)
	if err != nil {
		return "", err
	}
	c.add(p.title, w.title, report)
	c.check(p.title, w, round, report)
	return w.figures[0].format(w.figures[0].of(report)), nil
}

// measureHalf performs a work at half of the peer's own throughput, and then at the same rate with Outcry.
func (c *comparison) measureHalf(ctx context.Context, p *peer, w work, round int) (text string, err error) {
	most, err := c.limitOf(ctx, p, w, round)
	if err != nil {
		return "", err
	}
	w.run.Rate = math.Floor(most / 2 / w.fan())
	theirs, err := c.perform(ctx, p, w)
	if err != nil {
		return "", err
	}
	c.add(p.title, w.title, theirs)
	c.check(p.title, w, round, theirs)
	ours := theirs
	if p != c.peers[0] {
		if ours, err = c.perform(ctx, c.peers[0], w); err != nil {
			return "", fmt.Errorf("beside it, Outcry at %s/s: %w", rate(w.run.Rate), err)
		}
		c.check(fmt.Sprintf("%s at %s/s", c.peers[0].title, rate(w.run.Rate)), w, round, ours)
	}
	c.add(comparedWith(p.title), w.title, ours)
	f := w.figures[0]
	return fmt.Sprintf("%s beside %s of Outcry at %s/s", f.format(f.of(theirs)), f.format(f.of(ours)), rate(w.run.Rate)), nil
}

// limitOf returns a peer's deliveries a second in the work to be halved.
func (c *comparison) limitOf(ctx context.Context, p *peer, w work, round int) (float64, error) {
	for _, whole := range works(c.options) {
		if whole.name != w.halfOf {
			continue
		}
		if _, measured := c.median(p.title, whole, deliveries); !measured {
			if _, err := c.measure(ctx, p, whole, round); err != nil {
				return 0, err
			}
		}
		if most, _ := c.median(p.title, whole, deliveries); most >= 2*w.fan() {
			return most, nil
		}
	}
	return 0, errors.New("too few deliveries for a test at half of the limit")
}

// best performs a work with each window, and returns the report with the most deliveries. It fails only if no window
// works.
func (c *comparison) best(ctx context.Context, p *peer, w work) (best *bench.Report, err error) {
	for _, window := range w.windows {
		one := w
		one.run.Window = window
		report, failed := c.perform(ctx, p, one)
		switch {
		case failed != nil:
			err = failed
		case best == nil || messages(report).ReceivedPerSecond > messages(best).ReceivedPerSecond:
			best = report
		}
	}
	if best != nil {
		return best, nil
	}
	return nil, err
}

// perform starts a peer, performs one work, and stops it.
func (c *comparison) perform(ctx context.Context, p *peer, w work) (*bench.Report, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, runTimeout, fmt.Errorf("not done within %v", runTimeout))
	defer cancel()
	at, err := newSite(c.folder, p.name, w.scheme, c.certificate)
	if err != nil {
		return nil, err
	}
	r, err := p.start(ctx, at)
	if err != nil {
		return nil, err
	}
	defer r.Stop()
	o := w.run
	o.PID, o.Dialect, o.Progress = r.PID, p.dialect, c.line.show
	if o.TLS = nil; w.scheme == overTLS {
		o.TLS = c.certificate.client()
	}
	o.URL = &url.URL{Scheme: string(w.scheme), Host: at.address(at.port())}
	if w.scheme == overWebSocket {
		if o.URL, err = url.Parse("ws://" + o.URL.Host + cmp.Or(p.path, "/mqtt")); err != nil {
			return nil, err
		}
	}
	return bench.Run(ctx, o)
}
