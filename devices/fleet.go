// Package devices simulates fleets of MQTT devices: a stock ticker, sensors, chatting people, and a monitor of this
// machine. They are ordinary clients with MQTT 5 on real connections; the package knows nothing of the broker and
// works with any.
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
	// Run connects the devices and keeps them publishing until ctx ends. It then disconnects them and returns nil
	// after all its goroutines have ended. It retries an unreachable broker with growing pauses.
	Run(ctx context.Context) error
	// Stats returns the fleet's counters. It may be called at any time.
	Stats() Stats
}

// Options are common to all fleets. The zero value connects to a broker on this machine, anonymously.
type Options struct {
	// Broker is the broker's URL: mqtt:// or tcp://, mqtts://, ws://, wss:// or unix:///path. Empty: mqtt://127.0.0.1:1883.
	Broker string
	// TLS is for mqtts:// and wss://; nil: the system's certificate authorities.
	TLS *tls.Config
	// User is the user name of every device. Empty: each has its own, given in the fleets' documentation.
	User string
	// Token returns the password of a user. It is called before each connection, so that it can return a fresh token,
	// and concurrently for several devices. Nil: user name and password are not sent.
	Token func(user string) string
	// Prefix begins each client identifier. Empty: the fleet's name and a dash.
	Prefix string
	// Refused, if set, is called each time the broker refuses a device's connection. It must not block.
	Refused func(error)
	// Logger logs connects and disconnects; nil: no log.
	Logger *slog.Logger
}

// Stats are a fleet's counters since its start.
type Stats struct {
	Devices   int    // number of devices
	Connected int64  // gauge: connected devices
	Connects  uint64 // connections, reconnects included
	Published uint64 // sent messages; at QoS 1 acknowledged ones
	Received  uint64 // received messages
	Missed    uint64 // messages skipped because their device was not connected
	Errors    uint64 // failed messages and connections
}

// counters are the live form of Stats.
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

// base is the common part of the fleets.
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

// user returns a device's user name; name is the default.
func (b *base) user(name string) string { return cmp.Or(b.opts.User, name) }

// each runs fn concurrently for every device and waits for all.
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

// maxRate bounds a fleet's rate, in messages a second.
const maxRate = 1_000_000
