package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/listeners"
	"golang.org/x/sync/errgroup"
)

// How long each step of stopping may take, and all of them together.
const (
	devicesPatience   = 700 * time.Millisecond
	listenersPatience = 700 * time.Millisecond
	brokerPatience    = 4500 * time.Millisecond
	storePatience     = 2500 * time.Millisecond
	opsPatience       = 300 * time.Millisecond
	stopPatience      = 10 * time.Second
)

// run starts everything, and stops it when ctx ends, when a signal comes or when a part fails.
func (s *server) run(ctx context.Context, stops, hangups <-chan os.Signal) error {
	// The parts end when stop tells them to, not with ctx.
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	parts, failed := errgroup.WithContext(inner)
	parts.Go(func() error { return runBroker(inner, s.broker) })
	parts.Go(func() error { newTidier().run(inner); return nil })
	if s.flags.open == 0 {
		parts.Go(func() error { return s.access.tokens.Run(inner) })
		if s.access.denied != nil {
			parts.Go(func() error { return s.access.denied.Run(inner, s.broker.RulesChanged) })
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

// runBroker runs b until it was stopped, which may have been before it ran: what failed first is the error then.
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

// announce tells everybody that clients may come.
func (s *server) announce() error {
	s.state.Store(stateReady)
	addresses := s.addresses()
	if s.flags.addrFile != "" {
		if err := writeAddresses(s.flags.addrFile, addresses); err != nil {
			return fmt.Errorf("--addr-file: %w", err)
		}
	}
	if err := s.writeAccess(); err != nil {
		s.log.Warn("outcry store will not find this broker", "error", err)
	}
	s.log.Info("ready", "version", readVersion().Version, "addresses", addresses)
	return s.printBanner(addresses)
}

// wait returns when it is time to stop. Meanwhile it reloads when told so.
func (s *server) wait(ctx, failed context.Context, stops, hangups <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-failed.Done():
			s.log.Error("stopping, because a part failed")
			return
		case sig := <-stops:
			s.log.Info("stopping", "signal", sig.String())
			return
		case <-hangups:
			s.reload()
		}
	}
}

// stopAll stops everything and returns what the parts ended with. A second signal, or the end of all patience, ends the
// program while parts may still be at work.
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
		return &exitError{128 + int(number), errors.New("ended at once by a second signal")}
	case <-time.After(stopPatience):
		return fmt.Errorf("did not stop within %v", stopPatience)
	}
}

// stop stops the parts in the reverse order of their start: nobody comes in any more, who is in is told, what was
// accepted is written. A step that takes too long is left behind; only what was not written is an error.
func (s *server) stop() error {
	s.state.Store(stateStopping)
	if s.service != nil {
		s.service.stop()
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
		s.log.Warn("not stopped in good order", "part", part, "error", err)
	}
}

// within runs a step and waits for it no longer than d, and a little longer if it returns then by itself.
func within(d time.Duration, step func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- step(ctx) }()
	select {
	case err := <-done:
		return err
	case <-time.After(d + d/10):
		return fmt.Errorf("still at work after %v", d)
	}
}
