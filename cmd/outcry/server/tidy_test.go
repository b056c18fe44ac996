package server

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/cmd/outcry/outcrytest"
)

func TestTidyWhenABurstIsOver(t *testing.T) {
	freed := 0
	tidy := &tidier{free: func() { freed++ }, released: func() uint64 { return 0 }}
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
		{90, 60, false, 2}, // less than a quarter of the bytes in use
		{90, 60, true, 2},
		{95, 60, false, 2},
		{95, 60, true, 3},
	} {
		if quiet := tidy.look(step.allocated<<20, step.live<<20); quiet != step.quiet || freed != step.freed {
			t.Fatalf("step %d: quiet %v, freed %d times; want %v, %d", i, quiet, freed, step.quiet, step.freed)
		}
	}
}

// TestTidyWhenTheBrokerHasLetGoOfMuch has no collection since.
func TestTidyWhenTheBrokerHasLetGoOfMuch(t *testing.T) {
	released, freed := uint64(0), 0
	tidy := &tidier{
		free: func() { freed++ }, heap: func() (uint64, uint64) { return 1 << 20, 1 << 20 }, released: func() uint64 { return released },
	}
	for i, step := range []struct {
		released, live uint64 // MiB
		garbage        bool
	}{{3, 1, false}, {4, 1, true}, {4, 100, false}, {1000, 100, true}} {
		if released = step.released << 20; tidy.isGarbage(step.live<<20) != step.garbage {
			t.Errorf("step %d: garbage %v, want %v", i, !step.garbage, step.garbage)
		}
	}
	if tidy.waitQuiet(t.Context(), true); freed != 1 || tidy.isGarbage(1<<20) {
		t.Errorf("freed %d times, garbage after that: %v", freed, tidy.isGarbage(1<<20))
	}
}

// TestTidyFollowsCollections checks that a tidier notices collections of Go, and ends. The test supplies the heap's
// figures: other goroutines of this process allocate as well.
func TestTidyFollowsCollections(t *testing.T) {
	var allocated atomic.Uint64
	freed := make(chan struct{}, 100)
	tidy := &tidier{
		free: func() { freed <- struct{}{} }, heap: func() (uint64, uint64) { return allocated.Load(), 0 }, released: func() uint64 { return 0 },
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tidy.run(ctx)
	}()
	for range 2 {
		allocated.Add(tidyMinBytes)
		untilFreed(t, freed)
	}
	cancel()
	<-ended
}

// untilFreed collects garbage until memory is freed. The tidier may not have started at the first collection.
func untilFreed(t *testing.T, freed <-chan struct{}) {
	t.Helper()
	for end := time.Now().Add(outcrytest.WaitLimit); time.Now().Before(end); {
		runtime.GC()
		select {
		case <-freed:
			return
		case <-time.After(tidyInterval):
		}
	}
	t.Fatal("no memory was freed")
}

func TestHeapNow(t *testing.T) {
	before, _ := heapNow()
	kept := make([]byte, tidyMinBytes)
	runtime.GC()
	allocated, live := heapNow()
	if allocated-before < tidyMinBytes || live < tidyMinBytes {
		t.Errorf("%d bytes were allocated and %d are in use, of which this test has %d", allocated-before, live, len(kept))
	}
	runtime.KeepAlive(kept)
}
