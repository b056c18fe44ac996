package server

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

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
