package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// The longest life of a broker: a number of acknowledgements and deliveries, or a time if fewer come.
const (
	maxEvents = 1500
	maxLife   = 3 * time.Second
)

// killRepeatedly kills and restarts the broker until the number of kills is reached, or a promise is broken.
func (t *trial) killRepeatedly(ctx context.Context) error {
	began := time.Now()
	for t.kills.killed() < t.rounds && len(t.log.Faults()) == 0 {
		if t.duration > 0 && time.Since(began) > t.duration {
			break
		}
		if err := t.endLife(ctx); err != nil {
			return err
		}
		if err := t.begin(ctx); err != nil {
			return err
		}
		if t.random.IntN(6) == 0 {
			t.killStarting(ctx)
			continue
		}
		if err := t.ready(ctx); err != nil {
			return err
		}
		if err := t.failure.inject(ctx, t); err != nil {
			return err
		}
		t.display.show(t)
	}
	return nil
}

// begin starts the next life.
func (t *trial) begin(ctx context.Context) (err error) {
	if err := t.rollBackStore(); err != nil {
		return err
	}
	t.round++
	t.log.BeginRound(t.round)
	t.stage.Next(t.round)
	t.failure.begin()
	t.life, err = t.victim.Begin(t.round)
	return err
}

// ready waits until the broker accepts clients.
func (t *trial) ready(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, stopPatience)
	defer cancel()
	took, err := t.life.Ready(limited)
	if err != nil {
		return t.recordFault(ctx, "%v", err)
	}
	t.starts = append(t.starts, took)
	return nil
}

// killStarting kills the broker at a moment of its start, or shortly after.
func (t *trial) killStarting(ctx context.Context) {
	usual := t.starts[len(t.starts)-1]
	pause(ctx, time.Duration(t.random.Float64()*1.2*float64(usual)))
	t.log.Trace("", "SIGKILL while starting")
	if t.life.Kill() {
		t.kills.starting++
	}
	t.life = nil
}

// endLife ends a working broker, at a random moment and in a random way.
func (t *trial) endLife(ctx context.Context) error {
	if t.life == nil {
		return nil // it was killed during its start
	}
	if err := t.watch(ctx, t.random.IntN(maxEvents)); err != nil {
		return err
	}
	life := t.life
	t.life = nil
	way := t.random.IntN(20)
	switch {
	case way < 2 && t.disk == "": // with a failing disk, it may fail to stop
		t.log.Trace("", "SIGTERM")
		t.kills.orderly++
		limited, cancel := context.WithTimeout(ctx, stopPatience)
		defer cancel()
		if err := life.Stop(limited); err != nil {
			return t.recordFault(ctx, "%v", err)
		}
	case way < 4:
		t.log.Trace("", "SIGTERM, and SIGKILL soon")
		_ = life.Terminate()
		pause(ctx, time.Duration(t.random.IntN(30))*time.Millisecond)
		if life.Kill() {
			t.kills.stopping++
		}
	default:
		t.log.Trace("", "SIGKILL")
		if life.Kill() {
			t.kills.running++
		}
	}
	return nil
}

// watch waits until that many acknowledgements and deliveries have come.
func (t *trial) watch(ctx context.Context, events int) error {
	before := t.events()
	deadline := time.Now().Add(maxLife)
	for t.events()-before < uint64(events) && time.Now().Before(deadline) {
		select {
		case <-t.life.Exited():
			return t.recordFault(ctx, "it ended by itself: %s", t.life.Outcome())
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(500 * time.Microsecond):
		}
	}
	return nil
}

func (t *trial) events() uint64 {
	s := t.log.Stats()
	return s.Acked + s.Received + s.Duplicates
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// rollBackStore saves a copy of the store before every third round, and restores it two rounds later, if the run is to lie.
func (t *trial) rollBackStore() error {
	if !t.lie || t.round == 0 {
		return nil
	}
	store, older := filepath.Join(t.victim.Data, storeFile), filepath.Join(t.folder, "older.db")
	switch t.round % 3 {
	case 0:
		return copyFile(older, store)
	case 2:
		err := copyFile(store, older)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // nothing was saved yet
		}
		t.log.Trace("", "an older store is restored")
		return err
	}
	return nil
}

func copyFile(to, from string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, content, 0o600)
}
