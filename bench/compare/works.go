package main

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"os"
	"time"

	"github.com/outcry-mqtt/outcry/bench"
)

// work is what every peer is given to do.
type work struct {
	title   string
	scheme  string // mqtt or ws
	run     bench.Options
	windows []int  // messages of a publisher under way, of which the better is taken for each peer; 0: the default
	command string // the flags of outcry bench that do the same
	figures []figure
}

// figure is one thing that is read from a report.
type figure struct {
	title  string
	of     func(*bench.Report) float64
	format func(float64) string
	less   bool // is better
}

var (
	deliveries = figure{"deliveries a second", func(r *bench.Report) float64 { return r.Messages.ReceivedPerSecond }, rate, false}
	perMessage = figure{"processor per delivery", func(r *bench.Report) float64 { return r.Process.PerMessage }, micros, true}
	memory     = figure{"memory at its peak", func(r *bench.Report) float64 { return float64(r.Process.Peak) }, mebibytes, true}
	connects   = figure{"connections a second", func(r *bench.Report) float64 { return r.Connections.PerSecond }, rate, false}
	perConnect = figure{"processor per connection", func(r *bench.Report) float64 { return r.Process.ConnectCost }, micros, true}
	idleBytes  = figure{"resident bytes per connection", func(r *bench.Report) float64 { return r.Process.PerConnect }, bytesEach, true}
)

// Some peers do best with much under way, some with little; a receiver of QoS 1 and 2 commonly takes 20 to 100 at a time.
var (
	fanoutWindows = []int{0, 20}
	pairsWindows  = []int{0, 50}
)

// works are all works, in the order of the table.
func works(o options) []work {
	messages := []figure{deliveries, perMessage, memory}
	fanout := bench.Options{Scenario: bench.Fanout, Subscribers: o.subscribers}
	idle := bench.Options{Scenario: bench.Conns, Clients: o.clients}
	all := []work{
		{"fan-out to %d over TCP", "mqtt", fanout, fanoutWindows, fmt.Sprintf("fanout --subscribers %d", o.subscribers), messages},
		{"fan-out to %d over WebSocket", "ws", fanout, fanoutWindows, fmt.Sprintf("fanout --subscribers %d", o.subscribers), messages},
	}
	for i := range all {
		all[i].title = fmt.Sprintf(all[i].title, o.subscribers)
	}
	for qos := range byte(3) {
		pairs := bench.Options{Scenario: bench.Pairs, Clients: 50, QoS: qos}
		all = append(all, work{fmt.Sprintf("50 pairs, QoS %d", qos), "mqtt", pairs, pairsWindows, fmt.Sprintf("pairs --clients 50 -q %d", qos), messages})
	}
	for _, scheme := range []struct{ name, title string }{{"mqtt", "TCP"}, {"ws", "WebSocket"}} {
		title := fmt.Sprintf("%d idle connections over %s", o.clients, scheme.title)
		all = append(all, work{title, scheme.name, idle, []int{0}, fmt.Sprintf("conns --clients %d", o.clients), []figure{idleBytes, connects, perConnect}})
	}
	for i := range all {
		all[i].run.Version, all[i].run.SubscribeQoS = 4, -1
		all[i].run.Warmup, all[i].run.Duration, all[i].run.Drain = time.Second, o.seconds, 5*time.Second
		all[i].command = fmt.Sprintf("outcry bench %s -V 4 --pid PID", all[i].command)
		if all[i].scheme == "ws" {
			all[i].command += " --url ws://127.0.0.1:PORT/mqtt"
		} else {
			all[i].command += " --url mqtt://127.0.0.1:PORT"
		}
		if all[i].run.Scenario != bench.Conns {
			all[i].command += fmt.Sprintf(" -d %v [--window %d]", o.seconds, all[i].windows[1])
		}
	}
	return all
}

// best performs a work with each window, and returns the report with the most deliveries. The error is that of a window
// if none could be done.
func best(ctx context.Context, p *peer, w work, folder string) (best *bench.Report, err error) {
	for _, window := range w.windows {
		one := w
		one.run.Window = window
		report, failed := perform(ctx, p, one, folder)
		switch {
		case failed != nil:
			err = failed
		case best == nil || report.Messages.ReceivedPerSecond > best.Messages.ReceivedPerSecond:
			best = report
		}
	}
	if best != nil {
		return best, nil
	}
	return nil, err
}

// perform starts a peer freshly and gives it one work.
func perform(ctx context.Context, p *peer, w work, parent string) (*bench.Report, error) {
	folder, err := os.MkdirTemp(parent, p.name+"-")
	if err != nil {
		return nil, err
	}
	at, err := freePorts()
	if err != nil {
		return nil, err
	}
	r, err := p.start(ctx, folder, at)
	if err != nil {
		return nil, err
	}
	defer r.stop()
	o := w.run
	o.PID = r.cmd.Process.Pid
	o.URL = &url.URL{Scheme: "mqtt", Host: at.address(at.tcp)}
	if w.scheme == "ws" {
		if o.URL, err = url.Parse("ws://" + at.address(at.ws) + cmp.Or(p.path, "/mqtt")); err != nil {
			return nil, err
		}
	}
	o.Dialect = p.dialect
	return bench.Run(ctx, o)
}
