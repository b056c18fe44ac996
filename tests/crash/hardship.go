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

// The kinds of --disk.
const (
	diskFull   = "full"
	diskErrors = "errors"
)

// hardship is what a broker has to bear besides being killed.
type hardship interface {
	// begin is called before each life.
	begin()
	// strike is called in each life that has become ready.
	strike(ctx context.Context, t *trial) error
	// relent takes everything back, and returns when the broker says that it is well.
	relent(ctx context.Context, t *trial) error
	// summary says what there was to bear.
	summary() string
	// end is called at the run's end.
	end(t *trial, failed bool) error
}

// without is no hardship.
type without struct{}

func (without) begin()                               {}
func (without) strike(context.Context, *trial) error { return nil }
func (without) relent(context.Context, *trial) error { return nil }
func (without) summary() string                      { return "none" }
func (without) end(*trial, bool) error               { return nil }

// failing has writes and syncs fail at times, in a life that has become ready.
type failing struct {
	without
	faults disk.Faults
}

func newFailing(seed uint64) *failing {
	return &failing{faults: disk.Faults{Random: rand.New(rand.NewPCG(seed, 1<<63))}}
}

func (f *failing) begin() { f.faults.Arm(false) }

func (f *failing) strike(context.Context, *trial) error {
	f.faults.Arm(true)
	return nil
}

func (f *failing) relent(ctx context.Context, t *trial) error {
	f.faults.Arm(false)
	return t.recovered(ctx)
}

func (f *failing) summary() string {
	return fmt.Sprintf("%d writes and syncs failed, by a filter of system calls", f.faults.Failed())
}

// recovered waits until the broker says that it is ready, and takes messages.
func (t *trial) recovered(ctx context.Context) error {
	if !t.within(ctx, func() bool { return t.status(ctx) == http.StatusOK }) {
		return t.broken(ctx, "/readyz has status %d, although the disk is well again", t.status(ctx))
	}
	acked := t.log.Stats().Acked
	if !t.within(ctx, func() bool { return t.log.Stats().Acked > acked || t.stage.Ending() }) {
		return t.broken(ctx, "nothing is acknowledged, although the disk is well again")
	}
	return nil
}

// status is that of /readyz; 0: there was no answer.
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

// within waits for a condition until patience ends. It reports whether it came about.
func (t *trial) within(ctx context.Context, done func() bool) bool {
	for deadline := time.Now().Add(t.patience); !done(); pause(ctx, 20*time.Millisecond) {
		if ctx.Err() != nil || time.Now().After(deadline) {
			return false
		}
	}
	return true
}

// broken notes that the broker failed to do what it must, and ends the run, unless ctx has ended it.
func (t *trial) broken(ctx context.Context, format string, args ...any) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	t.log.Fault(history.Service, "broker", format+"; see broker.log", args...)
	return errBroken
}
