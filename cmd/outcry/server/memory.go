package server

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/cmd/outcry/config"
)

// memoryShare is the fraction of the memory for heap and stacks. The rest is for memory that the runtime's limit does
// not count: the kernel's buffers of connections, the pages of the store, other programs.
const memoryShare = 0.75

// memorySource returns the available memory in bytes, or memlimit.ErrNoLimit.
type memorySource struct {
	name  string
	bytes memlimit.Provider
}

// memorySources are the possible bounds of this process's memory.
var memorySources = []memorySource{{"container", memlimit.FromCgroup}, {"machine", memlimit.FromSystem}}

// tuneMemory configures the garbage collector, for the reasons in docs/decisions/0003-memory-and-its-collector.md.
// GOMEMLIMIT and GOGC in the environment take precedence.
func tuneMemory(c *config.Runtime, log *slog.Logger) {
	limitFrom, percentFrom := "GOMEMLIMIT", "GOGC"
	if os.Getenv("GOMEMLIMIT") == "" {
		var limit int64
		limit, limitFrom = chooseLimit(int64(c.MemoryLimit), memorySources, log)
		debug.SetMemoryLimit(limit)
	}
	if os.Getenv("GOGC") == "" {
		percentFrom = "configuration"
		debug.SetGCPercent(c.GCPercent) // negative: off
	}
	limit, percent := memoryTuning()
	log.Info("memory", "limit", limit, "limit_from", limitFrom, "gc_percent", percent, "gc_percent_from", percentFrom)
}

// chooseLimit returns the configured limit in bytes, or a share of the smallest source's, and its origin.
func chooseLimit(configured int64, sources []memorySource, log *slog.Logger) (limit int64, from string) {
	switch {
	case configured > 0:
		return configured, "configuration"
	case configured < 0:
		return math.MaxInt64, "configuration"
	}
	limit, from = math.MaxInt64, "nothing"
	for _, s := range sources {
		n, err := s.bytes()
		if err != nil {
			warnOfSource(s.name, err, log)
			continue
		}
		if share := float64(n) * memoryShare; share < float64(limit) {
			limit, from = int64(share), s.name
		}
	}
	return limit, from
}

// boundMemory derives the limits from the available memory, if Go has no memory limit.
func boundMemory(l *broker.Limits, log *slog.Logger) {
	if debug.SetMemoryLimit(-1) == math.MaxInt64 {
		l.Memory, _ = chooseLimit(0, memorySources, log)
	}
}

// warnOfSource logs a source's error, unless it has no limit.
func warnOfSource(name string, err error, log *slog.Logger) {
	for _, fine := range []error{memlimit.ErrNoLimit, memlimit.ErrNoCgroup, memlimit.ErrCgroupsNotSupported} {
		if errors.Is(err, fine) {
			return
		}
	}
	log.Warn("size of the memory unknown; set runtime.memory_limit", "source", name, "error", err)
}

// memoryTuning formats the present limit and percentage.
func memoryTuning() (limit, percent string) {
	now := []metrics.Sample{{Name: "/gc/gomemlimit:bytes"}, {Name: "/gc/gogc:percent"}}
	metrics.Read(now)
	limit, percent = "none", "none"
	if n := now[0].Value.Uint64(); n < math.MaxInt64 {
		limit = strconv.FormatUint(n>>20, 10) + "MiB"
	}
	if n := now[1].Value.Uint64(); n < math.MaxInt64 {
		percent = strconv.FormatUint(n, 10)
	}
	return limit, percent
}

// Memory is released after a period with few allocations, and only if there is enough of it.
const (
	tidyInterval   = 200 * time.Millisecond
	tidyQuietBytes = 64 << 10         // bytes allocated in an interval that count as few
	tidyMinBytes   = 4 << 20          // bytes allocated, or released by the broker, since the last time
	tidyRecheck    = 10 * time.Second // interval of checks of the memory released by the broker
	tidyMaxWait    = 20 * time.Second // maximum wait for a quiet period after such a check
)

// tidier returns memory to the system after a burst. Thousands of connects leave garbage between their records, which
// otherwise stays until as much again is allocated. So do disconnecting clients with large queues: a broker with few
// allocations would not collect that for minutes.
type tidier struct {
	free     func()                          // collects garbage, and returns free memory
	heap     func() (allocated, live uint64) // bytes ever allocated, and bytes in use at the last collection
	released func() uint64                   // bytes released by the broker since its start

	seen  uint64 // bytes allocated at the last look
	freed uint64 // bytes allocated when memory was last freed

	checked uint64 // bytes released at the last check
	known   uint64 // bytes released at the check before the last collection
	recent  bool   // Go has collected since the last check
}

func newTidier(released func() uint64) *tidier {
	return &tidier{free: debug.FreeOSMemory, heap: heapNow, released: released}
}

// run frees memory until ctx ends: in a quiet period after a collection of Go, and after the broker has released much
// since then.
func (t *tidier) run(ctx context.Context) {
	collected := make(chan struct{}, 1)
	watchCollections(ctx, collected)
	check := time.NewTicker(tidyRecheck)
	defer check.Stop()
	for {
		must := false
		select {
		case <-ctx.Done():
			return
		case <-collected:
			t.known, t.recent = t.checked, true // later releases may have been too late for this collection
		case <-check.C:
			if must = t.check(); !must {
				continue
			}
		}
		t.waitQuiet(ctx, must)
	}
}

// waitQuiet waits for a quiet period, and frees memory if it is worth it. With must it waits at most tidyMaxWait.
func (t *tidier) waitQuiet(ctx context.Context, must bool) {
	end := time.Now().Add(tidyMaxWait)
	for {
		allocated, live := t.heap()
		quiet := t.look(allocated, live)
		over := quiet || must && time.Now().After(end)
		if over && must && t.isGarbage(live) {
			t.release(allocated)
		}
		if over {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(tidyInterval):
		}
	}
}

// check reports whether the broker has released much memory that no collection has found. It leaves a process alone
// that collects frequently by itself.
func (t *tidier) check() bool {
	_, live := t.heap()
	must := !t.recent && t.isGarbage(live)
	t.checked, t.recent = t.released(), false
	return must
}

// isGarbage reports whether the broker has released enough since the last collection for another one: tidyMinBytes, and
// a quarter of the bytes in use then.
func (t *tidier) isGarbage(live uint64) bool {
	return t.released()-t.known >= max(tidyMinBytes, live/4)
}

// look reports whether few bytes were allocated since the last look. If so it frees memory, provided that enough was
// allocated since the last time: tidyMinBytes, and a quarter of the bytes in use.
func (t *tidier) look(allocated, live uint64) bool {
	quiet := allocated-t.seen < tidyQuietBytes
	t.seen = allocated
	if quiet && allocated-t.freed >= max(tidyMinBytes, live/4) {
		t.release(allocated)
	}
	return quiet
}

func (t *tidier) release(allocated uint64) {
	known := t.released()
	t.free()
	t.freed, t.known, t.checked = allocated, known, known
}

// heapNow returns the bytes ever allocated, and the bytes in use at the last collection.
func heapNow() (allocated, live uint64) {
	now := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"}}
	metrics.Read(now)
	return now[0].Value.Uint64(), now[1].Value.Uint64()
}

// watchCollections signals every collection until ctx ends, by the finalizer of an unreachable object.
func watchCollections(ctx context.Context, collected chan<- struct{}) {
	type unreachable struct{ _ *byte } // a pointer keeps it out of the tiny allocator
	var again func(*unreachable)
	again = func(u *unreachable) {
		if ctx.Err() != nil {
			return
		}
		select {
		case collected <- struct{}{}:
		default:
		}
		runtime.SetFinalizer(u, again)
	}
	runtime.SetFinalizer(&unreachable{}, again)
}
