// Package devices simulates fleets of MQTT devices: a stock ticker, sensors, people who chat, and this machine's own
// figures. They are ordinary clients that speak MQTT 5 over real connections; the package knows nothing of the broker
// and works with any.
package devices

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"sync/atomic"
)

// Fleet is a number of simulated devices.
type Fleet interface {
	// Run connects the devices and keeps them at work until ctx ends, then takes leave of the broker and returns nil
	// once all its goroutines have ended. A broker that is away is tried again, with growing pauses.
	Run(ctx context.Context) error
	// Stats tells what the fleet has done so far. It may be called at any time.
	Stats() Stats
}

// Options are what every fleet needs to know. The zero value connects to a broker on this machine, anonymously.
type Options struct {
	// Broker is the broker's URL: mqtt:// or tcp://, mqtts://, ws://, wss:// or unix:///path. Empty: mqtt://127.0.0.1:1883.
	Broker string
	// TLS is for mqtts:// and wss://; nil: the system's certificate authorities.
	TLS *tls.Config
	// User is the user name of every device. Empty: each has its own, which the fleets' documentation tells.
	User string
	// Token gives the password for a user. It is asked before each connection, so that it can hand out a fresh token
	// each time; several devices may ask at once. Nil: user name and password are not sent.
	Token func(user string) string
	// Prefix begins each client identifier. Empty: the fleet's name and a dash.
	Prefix string
	// Refused, if set, hears each time the broker refuses a device's connection. It must not block.
	Refused func(error)
	// Logger hears of connections that come and go; nil: nobody does.
	Logger *slog.Logger
}

// Stats are a fleet's counters since its start.
type Stats struct {
	Devices   int    // devices that the fleet has
	Connected int64  // devices that are connected now
	Connects  uint64 // connections made, reconnections included
	Published uint64 // messages sent, and for QoS 1 acknowledged
	Received  uint64 // messages that subscribed devices were sent
	Missed    uint64 // messages that were due while their device was not connected, and were not sent
	Errors    uint64 // messages and connections that failed
}

// counters are the Stats while they are being counted.
type counters struct {
	connected                                     atomic.Int64
	connects, published, received, missed, errors atomic.Uint64
}

func (c *counters) stats(devices int) Stats {
	return Stats{
		Devices:   devices,
		Connected: c.connected.Load(),
		Connects:  c.connects.Load(),
		Published: c.published.Load(),
		Received:  c.received.Load(),
		Missed:    c.missed.Load(),
		Errors:    c.errors.Load(),
	}
}

// base is what the fleets have in common.
type base struct {
	// Static after construction.
	opts   Options
	broker *url.URL
	log    *slog.Logger

	counters counters
}

func newBase(opts Options, name string) (*base, error) {
	opts.Broker = cmp.Or(opts.Broker, "mqtt://127.0.0.1:1883")
	opts.Prefix = cmp.Or(opts.Prefix, name+"-")
	u, err := ParseURL(opts.Broker)
	if err != nil {
		return nil, err
	}
	log := opts.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &base{opts: opts, broker: u, log: log.With("fleet", name)}, nil
}

// user is the user name of a device whose own would be name.
func (b *base) user(name string) string { return cmp.Or(b.opts.User, name) }

// each runs fn for every device and waits for all.
func each(n int, fn func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { fn(i) })
	}
	wg.Wait()
}

func checkCount(what string, n, most int) error {
	if n < 1 || n > most {
		return fmt.Errorf("%s must be between 1 and %d, not %d", what, most, n)
	}
	return nil
}

func checkRate(r float64) error {
	if r > 0 && r <= maxRate {
		return nil
	}
	return fmt.Errorf("rate must be above 0 and at most %d messages a second, not %v", maxRate, r)
}

// maxRate is the highest rate of a fleet, in messages a second.
const maxRate = 1_000_000
