package main

import (
	"context"
	"runtime"
	"testing"
	"time"
)

func TestTidyWhenABurstIsOver(t *testing.T) {
	freed := 0
	tidy := &tidier{free: func() { freed++ }}
	for i, step := range []struct {
		allocated, live uint64 // MiB
		quiet           bool
		freed           int
	}{
		{5, 1, false, 0}, // a start
		{5, 1, true, 1},
		{5, 1, true, 1},    // nothing new
		{8, 1, false, 1},   // too little
		{8, 1, true, 1},    //
		{40, 30, false, 1}, // a burst
		{80, 60, false, 1},
		{80, 60, true, 2},
		{90, 60, false, 2}, // less than a quarter of what is in use
		{90, 60, true, 2},
		{95, 60, false, 2},
		{95, 60, true, 3},
	} {
		if quiet := tidy.look(step.allocated<<20, step.live<<20); quiet != step.quiet || freed != step.freed {
			t.Fatalf("step %d: quiet %v, freed %d times; want %v, %d", i, quiet, freed, step.quiet, step.freed)
		}
	}
}

// TestTidyFollowsCollections has a tidier see real garbage, and end.
func TestTidyFollowsCollections(t *testing.T) {
	freed := make(chan struct{}, 100)
	tidy := &tidier{free: func() { freed <- struct{}{} }}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tidy.run(ctx)
	}()
	for range 2 {
		for range 2 * tidyLeast >> 10 {
			garbage = make([]byte, 1<<10)
		}
		runtime.GC()
		select {
		case <-freed:
		case <-time.After(30 * time.Second):
			t.Fatal("no memory was freed")
		}
	}
	cancel()
	<-ended
}

var garbage []byte
