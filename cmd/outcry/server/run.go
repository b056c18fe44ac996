package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/cmd/outcry/command"
	"github.com/outcry-mqtt/outcry/listeners"
	"golang.org/x/sync/errgroup"
)

// Time limits of the steps of stopping, and of all of them together.
const (
	devicesPatience   = 700 * time.Millisecond
	listenersPatience = 700 * time.Millisecond
	brokerPatience    = 4500 * time.Millisecond
	storePatience     = 2500 * time.Millisecond
	opsPatience       = 300 * time.Millisecond
	stopPatience      = 10*time.Second - outputTimeout
)

// run starts all parts, and stops them when ctx ends, at a signal or when a part fails.
func (s *server) run(ctx context.Context, stops, hangups <-chan os.Signal) error {
	// The parts end at stop, not with ctx.
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	parts, failed := errgroup.WithContext(inner)
	parts.Go(func() error { return runBroker(inner, s.broker) })
	parts.Go(func() error { newTidier(s.broker.Released).run(inner); return nil })
	if s.flags.open == 0 {
		parts.Go(func() error { return s.access.Tokens.Run(inner) })
		if s.access.Denied != nil {
			parts.Go(func() error { return s.access.Denied.Run(inner, s.broker.RulesChanged) })
		}
	}
	for _, l := range s.in.listeners {
		parts.Go(func() error { return serve(l) })
	}
	if s.ops != nil {
		parts.Go(func() error { return serve(s.ops) })
	}
	if s.in.acme != nil {
		parts.Go(func() error { return s.in.acme.Run(inner) })
	}
	err := s.startDevices(inner)
	if err == nil {
		err = s.announce()
	}
	if err == nil {
		s.wait(ctx, failed, stops, hangups)
	}
	return errors.Join(err, s.stopAll(cancel, parts, stops))
}

// runBroker runs b until it was stopped, perhaps before it ran: then the first failure is the error.
func runBroker(ctx context.Context, b *broker.Broker) error {
	if err := b.Run(ctx); !errors.Is(err, broker.ErrClosed) {
		return err
	}
	return nil
}

func serve(l listeners.Listener) error {
	if err := l.Serve(); !errors.Is(err, listeners.ErrServerClosed) {
		return fmt.Errorf("listener %s: %w", l.Name(), err)
	}
	return nil
}

// announce reports that the broker accepts clients.
func (s *server) announce() error {
	s.state.Store(stateReady)
	addresses := s.addresses()
	if s.flags.addrFile != "" {
		if err := writeAddresses(s.flags.addrFile, addresses); err != nil {
			return fmt.Errorf("--addr-file: %w", err)
		}
	}
	if err := s.writeAccess(); err != nil {
		s.log.Warn("outcry store cannot find this broker", "error", err)
	}
	s.log.Info("ready", "version", command.ReadVersion().Version, "addresses", addresses)
	s.printBanner(addresses)
	return nil
}

// wait returns when it is time to stop. At a hangup it reloads.
func (s *server) wait(ctx, failed context.Context, stops, hangups <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-failed.Done():
			s.log.Error("stopping after a failure")
			return
		case sig := <-stops:
			s.log.Info("stopping", "signal", sig.String())
			return
		case <-hangups:
			s.reload()
		}
	}
}

// stopAll stops all parts and returns their error. A second signal, or the end of the time limit, ends the program
// while parts may still be working.
func (s *server) stopAll(cancel context.CancelFunc, parts *errgroup.Group, stops <-chan os.Signal) error {
	stopped := make(chan error, 1)
	go func() {
		err := s.stop()
		cancel()
		stopped <- errors.Join(err, parts.Wait())
	}()
	select {
	case err := <-stopped:
		s.log.Info("stopped")
		return err
	case sig := <-stops:
		number, _ := sig.(syscall.Signal)
		return &command.ExitError{Code: 128 + int(number), Err: errors.New("stopped at once by a second signal")}
	case <-time.After(stopPatience):
		return fmt.Errorf("did not stop within %v", stopPatience)
	}
}

// stop stops the parts in the reverse order of their start: no more clients are accepted, connected ones are told,
// accepted messages are written. It abandons a step that takes too long; only unwritten messages are an error.
func (s *server) stop() error {
	s.state.Store(stateStopping)
	if s.service != nil {
		s.service.Stop()
		s.removeAccess()
	}
	s.step("demo devices", devicesPatience, s.devices.stop)
	s.step("listeners", listenersPatience, s.in.shutdown)
	s.step("broker", brokerPatience, s.broker.Shutdown)
	err := within(storePatience, func(context.Context) error { return s.store.Close() })
	if s.ops != nil {
		s.step("operator's listener", opsPatience, s.ops.Shutdown)
	}
	if err != nil {
		return fmt.Errorf("close the store: %w", err)
	}
	return nil
}

func (s *server) step(part string, patience time.Duration, stop func(context.Context) error) {
	if err := within(patience, stop); err != nil {
		s.log.Warn("part did not stop in time, or stopped with an error", "part", part, "error", err)
	}
}

// within runs a step and waits for it at most d, and a little longer for its own return.
func within(d time.Duration, step func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- step(ctx) }()
	select {
	case err := <-done:
		return err
	case <-time.After(d + d/10):
		return fmt.Errorf("not finished after %v", d)
	}
}
