package server

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/outcry-mqtt/outcry/cmd/outcry/outcrytest"
)

func TestChooseLimit(t *testing.T) {
	of := func(name string, bytes uint64, err error) memorySource {
		return memorySource{name, func() (uint64, error) { return bytes, err }}
	}
	broken := errors.New("mountinfo: line 3 is odd")
	for _, tt := range []struct {
		name       string
		configured int64
		sources    []memorySource
		want       int64
		from       string
		warns      bool
	}{
		{"configured", 100 << 20, []memorySource{of("machine", 1<<30, nil)}, 100 << 20, "configuration", false},
		{"none", -1, []memorySource{of("machine", 1<<30, nil)}, math.MaxInt64, "configuration", false},
		{"container below the machine", 0, []memorySource{of("container", 4<<30, nil), of("machine", 8<<30, nil)}, 3 << 30, "container", false},
		{"container above the machine", 0, []memorySource{of("container", 16<<30, nil), of("machine", 8<<30, nil)}, 6 << 30, "machine", false},
		{"no limit", 0, []memorySource{of("container", 0, memlimit.ErrNoLimit), of("machine", 8<<30, nil)}, 6 << 30, "machine", false},
		{"no containers", 0, []memorySource{of("container", 0, memlimit.ErrCgroupsNotSupported), of("machine", 8<<30, nil)}, 6 << 30, "machine", false},
		{"a source that fails", 0, []memorySource{of("container", 0, broken), of("machine", 8<<30, nil)}, 6 << 30, "machine", true},
		{"nobody knows", 0, []memorySource{of("machine", 0, memlimit.ErrNoLimit)}, math.MaxInt64, "nothing", false},
		{"a number that stands for no limit", 0, []memorySource{of("container", math.MaxUint64, nil)}, math.MaxInt64, "nothing", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			limit, from := chooseLimit(tt.configured, tt.sources, slog.New(slog.NewTextHandler(&log, nil)))
			if limit != tt.want || from != tt.from {
				t.Errorf("%d from %s, want %d from %s", limit, from, tt.want, tt.from)
			}
			if warns := strings.Contains(log.String(), broken.Error()); warns != tt.warns {
				t.Errorf("logged %q", log.String())
			}
		})
	}
}

// The program logs and exports its choice, and the environment takes precedence over the configuration.
func TestMemoryIsTuned(t *testing.T) {
	for _, tt := range []struct {
		name, limit, percent string // of the environment
		args                 []string
		log                  []string
		metrics              []string
	}{
		{"defaults", "", "", nil, []string{"gc_percent=100 ", "gc_percent_from=configuration"}, []string{"go_gc_gogc_percent 100"}},
		{"configured", "", "", []string{"--set", "runtime.memory_limit=200MiB", "--set", "runtime.gc_percent=50"},
			[]string{"limit=200MiB limit_from=configuration gc_percent=50 gc_percent_from=configuration"},
			[]string{"go_gc_gomemlimit_bytes 2.097152e+08", "go_gc_gogc_percent 50"}},
		{"environment", "300MiB", "70", []string{"--set", "runtime.memory_limit=200MiB", "--set", "runtime.gc_percent=50"},
			[]string{"limit=300MiB limit_from=GOMEMLIMIT gc_percent=70 gc_percent_from=GOGC"},
			[]string{"go_gc_gomemlimit_bytes 3.145728e+08", "go_gc_gogc_percent 70"}},
		{"no limit", "", "", []string{"--set", "runtime.memory_limit=none"}, []string{"limit=none limit_from=configuration"}, nil},
		{"at the limit only", "", "", []string{"--set", "runtime.gc_percent=none"}, []string{"gc_percent=none"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("GOMEMLIMIT", tt.limit)
			t.Setenv("GOGC", tt.percent)
			p := outcrytest.StartServe(t, t.TempDir(), tt.args...)
			p.WaitFor(p.Stderr, 0, append(tt.log, "msg=memory")...)
			shown := outcrytest.Fetch(t, p.Addresses["http"], "/metrics")
			for _, want := range append(tt.metrics, `go_sched_pauses_total_gc_seconds_bucket{le="`) {
				if !strings.Contains(shown, want) {
					t.Errorf("no %q in the metrics", want)
				}
			}
			p.Stop()
		})
	}
}

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
