package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/outcry-mqtt/outcry/tests/crash/disk"
	"github.com/outcry-mqtt/outcry/tests/crash/history"
)

// The values of --disk.
const (
	diskFull   = "full"
	diskErrors = "errors"
)

// diskFailure is a failure mode of the disk, in addition to kills.
type diskFailure interface {
	// begin is called before each life.
	begin()
	// inject is called in each life when the broker is ready.
	inject(ctx context.Context, t *trial) error
	// recover ends the failure, and returns when the broker reports that it is ready.
	recover(ctx context.Context, t *trial) error
	// summary describes the failures of the run.
	summary() string
	// end is called at the run's end.
	end(t *trial, failed bool) error
}

// noFailure never fails.
type noFailure struct{}

func (noFailure) begin()                                {}
func (noFailure) inject(context.Context, *trial) error  { return nil }
func (noFailure) recover(context.Context, *trial) error { return nil }
func (noFailure) summary() string                       { return "none" }
func (noFailure) end(*trial, bool) error                { return nil }

// failingDisk makes writes and syncs fail at times, once a life is ready.
type failingDisk struct {
	noFailure
	faults disk.Faults
}

func newFailingDisk(seed uint64) *failingDisk {
	return &failingDisk{faults: disk.Faults{Random: rand.New(rand.NewPCG(seed, 1<<63))}}
}

func (f *failingDisk) begin() { f.faults.Arm(false) }

func (f *failingDisk) inject(context.Context, *trial) error {
	f.faults.Arm(true)
	return nil
}

func (f *failingDisk) recover(ctx context.Context, t *trial) error {
	f.faults.Arm(false)
	return t.recovered(ctx)
}

func (f *failingDisk) summary() string {
	return fmt.Sprintf("%d writes and syncs failed, by a filter of system calls", f.faults.Failed())
}

// recovered waits until the broker reports that it is ready, and accepts messages.
func (t *trial) recovered(ctx context.Context) error {
	if !t.within(ctx, func() bool { return t.status(ctx) == http.StatusOK }) {
		return t.recordFault(ctx, "/readyz has status %d, although the disk works again", t.status(ctx))
	}
	acked := t.log.Stats().Acked
	if !t.within(ctx, func() bool { return t.log.Stats().Acked > acked || t.stage.Ending() }) {
		return t.recordFault(ctx, "no message is acknowledged, although the disk works again")
	}
	return nil
}

// status returns the status of /readyz; 0: no answer.
func (t *trial) status(ctx context.Context) int {
	ctx, cancel := context.WithTimeout(ctx, t.patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+t.victim.Address("http")+"/readyz", nil)
	if err != nil {
		return 0
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode
}

// within waits for a condition, at most for patience. It reports whether the condition holds.
func (t *trial) within(ctx context.Context, done func() bool) bool {
	for deadline := time.Now().Add(t.patience); !done(); pause(ctx, 20*time.Millisecond) {
		if ctx.Err() != nil || time.Now().After(deadline) {
			return false
		}
	}
	return true
}

// recordFault records a fault of the broker and ends the run, unless ctx has ended it.
func (t *trial) recordFault(ctx context.Context, format string, args ...any) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	t.log.Fault(history.Service, "broker", format+"; see broker.log", args...)
	return errBroken
}
