package devices

import (
	"cmp"
	"context"
	"os"
	"strings"
	"time"

	"github.com/eclipse/paho.golang/paho"
)

// MachineOptions configure a Machine.
type MachineOptions struct {
	Options
	Host  string        // host name in the topics; empty: the system's
	Disk  string        // path in the file system to report; empty: the working directory
	Every time.Duration // interval; 0: a second
}

// Machine publishes figures of the machine that the program runs on. It is one client, the user "machine", and sends
// retained messages with QoS 0 to machine/{host}/cpu, memory, disk and network. Sizes are in bytes, rates (…_bps) in
// bytes a second, t in milliseconds of Unix time.
type Machine struct {
	*base
	opts   MachineOptions
	topics string // prefix of its topics
}

// NewMachine returns a Machine with validated options.
func NewMachine(opts MachineOptions) (*Machine, error) {
	opts.Every = cmp.Or(opts.Every, time.Second)
	opts.Host = cmp.Or(opts.Host, hostName())
	opts.Disk = cmp.Or(opts.Disk, ".")
	b, err := newBase(opts.Options, "machine")
	if err != nil {
		return nil, err
	}
	host := strings.NewReplacer("/", "-", "+", "-", "#", "-", "\x00", "-").Replace(opts.Host)
	return &Machine{base: b, opts: opts, topics: "machine/" + host + "/"}, nil
}

// hostName returns the host's name without its domain.
func hostName() string {
	name, err := os.Hostname()
	if err != nil {
		return "localhost"
	}
	name, _, _ = strings.Cut(name, ".")
	return cmp.Or(name, "localhost")
}

// Stats returns the counters.
func (m *Machine) Stats() Stats { return m.counters.stats(1) }

// Run publishes the figures until ctx ends. It omits figures that this system does not provide.
func (m *Machine) Run(ctx context.Context) error {
	d, err := m.connect(ctx, m.base.opts.Prefix+strings.Split(m.topics, "/")[1], m.user("machine"), spec{})
	if err != nil {
		return err
	}
	defer d.leave()
	gauge := newGauge(m.opts.Disk)
	tick := time.NewTicker(m.opts.Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			m.report(ctx, d, gauge.read(ctx, now))
		}
	}
}

func (m *Machine) report(ctx context.Context, d *device, f figures) {
	publish := func(name string, v any) {
		d.publish(ctx, &paho.Publish{Topic: m.topics + name, Retain: true, Payload: mustJSON(v)})
	}
	d.batch(func() {
		if f.cpu != nil {
			publish("cpu", f.cpu)
		}
		if f.memory != nil {
			publish("memory", f.memory)
		}
		if f.disk != nil {
			publish("disk", f.disk)
		}
		if f.network != nil {
			publish("network", f.network)
		}
	})
}
