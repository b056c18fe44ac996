package devices

import (
	"cmp"
	"context"
	"os"
	"strings"
	"time"

	"github.com/eclipse/paho.golang/paho"
)

// MachineOptions say how a Machine reports.
type MachineOptions struct {
	Options
	Host  string        // its name in the topics; empty: the host's name
	Disk  string        // whose file system's space is told; empty: the one of the working directory
	Every time.Duration // 0: a second
}

// Machine is the machine that the program runs on: a client, the user "machine", that publishes its figures as retained
// messages with QoS 0 to machine/{host}/cpu, memory, disk and network. Sizes are in bytes, rates (…_bps) in bytes a
// second, t in milliseconds of Unix time.
type Machine struct {
	*base
	opts   MachineOptions
	topics string // what they begin with
}

// NewMachine makes a Machine.
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

// hostName is the host's name without its domain.
func hostName() string {
	name, err := os.Hostname()
	if err != nil {
		return "localhost"
	}
	name, _, _ = strings.Cut(name, ".")
	return cmp.Or(name, "localhost")
}

// Stats tells what the machine has done so far.
func (m *Machine) Stats() Stats { return m.counters.stats(1) }

// Run reports the figures until ctx ends. Figures that this system does not have are left out.
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
