package server

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/outcry-mqtt/outcry/cmd/outcry/access"
	"github.com/outcry-mqtt/outcry/devices"
)

// demoTokenTTL is the lifetime of the demo devices' tokens. They get a fresh one with each connection.
const demoTokenTTL = 24 * time.Hour

// demoDevices are the devices of serve --demo: ordinary clients within the same process.
type demoDevices struct {
	cancel  context.CancelFunc // nil: no devices
	running *sync.WaitGroup
}

// startDevices starts the devices, if the flags request them.
func (s *server) startDevices(ctx context.Context) error {
	if !s.flags.demo {
		return nil
	}
	fleets, err := s.demoFleets()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	s.devices = demoDevices{cancel, new(sync.WaitGroup)}
	for _, fleet := range fleets {
		s.devices.running.Go(func() {
			if err := fleet.Run(ctx); err != nil {
				s.log.Error("demo device ended", "error", err)
			}
		})
	}
	return nil
}

// stop disconnects the devices.
func (d *demoDevices) stop(ctx context.Context) error {
	if d.cancel == nil {
		return nil
	}
	d.cancel()
	done := make(chan struct{})
	go func() { d.running.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *server) demoFleets() ([]devices.Fleet, error) {
	o, err := s.deviceOptions()
	if err != nil {
		return nil, err
	}
	c := &s.config.Demo
	ticker, err := devices.NewTicker(devices.TickerOptions{Options: o, Symbols: c.Ticker.Symbols, Rate: c.Ticker.Rate})
	if err != nil {
		return nil, err
	}
	machine, err := devices.NewMachine(devices.MachineOptions{Options: o, Every: c.Machine.Every, Disk: s.config.Data})
	if err != nil {
		return nil, err
	}
	return []devices.Fleet{ticker, machine}, nil
}

func (s *server) deviceOptions() (devices.Options, error) {
	o := devices.Options{Logger: s.log.With("part", "demo")}
	addresses := s.in.addresses()
	switch {
	case addresses["tcp"] != "":
		o.Broker = "mqtt://" + reachable(addresses["tcp"])
	case addresses["unix"] != "":
		o.Broker = "unix://" + addresses["unix"]
	case addresses["ws"] != "":
		o.Broker = "ws://" + reachable(addresses["ws"]) + s.config.Listeners.WS.Paths[0]
	default:
		return o, errors.New("--demo: its devices need a listener without TLS; set listeners.tcp.address")
	}
	o.Refused = func(err error) { s.log.Error("demo device refused", "error", err) }
	if s.flags.open == 0 {
		if access.SecretPath(&s.config.Config) == "" {
			return o, errors.New("--demo: its devices need tokens, and auth.jwt.secret_file is none")
		}
		tokens := access.NewMinter(&s.config.Config)
		o.Token = func(user string) string {
			token, err := tokens.Token(user, nil, nil, demoTokenTTL)
			if err != nil {
				s.log.Error("cannot make a token for a demo device", "user", user, "error", err)
			}
			return token
		}
	}
	return o, nil
}
