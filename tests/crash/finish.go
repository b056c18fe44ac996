package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
	"github.com/outcry-mqtt/outcry/broker/storage"
	"github.com/outcry-mqtt/outcry/hooks/boltstore"
	"github.com/outcry-mqtt/outcry/tests/crash/client"
	"github.com/outcry-mqtt/outcry/tests/crash/history"
)

// finish ends publishers and subscribers, stops and restarts the broker to check that nothing is sent again, checks
// the retained messages and the store, and records every fault.
func (t *trial) finish(ctx context.Context) error {
	if err := t.ensureRunning(ctx); err != nil {
		return err
	}
	if err := t.failure.recover(ctx, t); err != nil {
		return err
	}
	t.stage.End()
	published := t.workload.published()
	if !t.await(ctx, func() bool { return isClosed(published) }) {
		t.log.Fault(history.Lost, "publishers", "some messages are not acknowledged, although they were sent again")
	}
	if err := t.drain(ctx); err != nil {
		return err
	}
	kept := &client.Options{ID: "kept", Version: raw.V5, Stage: t.stage, Log: t.log}
	found, err := kept.Retained(ctx, keptTopics, t.log.Kept())
	if err != nil {
		return err
	}
	if err := t.stop(ctx); err != nil {
		return err
	}
	t.log.Verify(found)
	return errors.Join(ctx.Err(), t.checkStore())
}

// drain waits until all owed messages have arrived, also after another start.
func (t *trial) drain(ctx context.Context) error {
	t.await(ctx, func() bool { return t.log.Owed(1) == 0 })
	if err := t.stop(ctx); err != nil {
		return err
	}
	if err := t.ensureRunning(ctx); err != nil {
		return err
	}
	if !t.await(ctx, func() bool { return t.workload.isSettled(t.round) }) {
		t.log.Fault(history.Protocol, "subscribers", "some have not received all messages: see the trace's last lines")
	}
	return ctx.Err()
}

// ensureRunning starts the broker unless it runs.
func (t *trial) ensureRunning(ctx context.Context) error {
	if t.life != nil {
		return nil
	}
	if err := t.begin(ctx); err != nil {
		return err
	}
	return t.ready(ctx)
}

// stop stops the broker cleanly.
func (t *trial) stop(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, stopPatience)
	defer cancel()
	t.log.Trace("", "SIGTERM")
	life := t.life
	t.life = nil
	if err := life.Stop(limited); err != nil {
		return t.recordFault(ctx, "%v", err)
	}
	return nil
}

// await waits for a condition as long as there is progress. It reports whether the condition holds.
func (t *trial) await(ctx context.Context, done func() bool) bool {
	last, since := t.events(), time.Now()
	for !done() {
		pause(ctx, 20*time.Millisecond)
		if now := t.events(); now != last {
			last, since = now, time.Now()
		}
		if ctx.Err() != nil || time.Since(since) > t.patience {
			return false
		}
		t.display.show(t)
	}
	return true
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// storeFile is the broker's store in its data folder.
const storeFile = "outcry.db"

// checkStore opens the store, which checks its tree, and reads every value, which checks its sum and its meaning.
func (t *trial) checkStore() error {
	path := filepath.Join(t.victim.Data, storeFile)
	if _, err := os.Stat(path); err != nil {
		return err
	}
	store, err := boltstore.Open(boltstore.Options{Path: path})
	if err != nil {
		return fmt.Errorf("check the store: %w", err)
	}
	var problems []error
	err = storage.Check(store, func(problem error) { problems = append(problems, problem) })
	return errors.Join(append(problems, err, store.Close())...)
}
