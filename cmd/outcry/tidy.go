package main

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// When memory is given back: after so long without much being allocated, and only if it is worth it.
const (
	tidyInterval = 200 * time.Millisecond
	tidyQuiet    = 64 << 10 // bytes allocated in an interval that are not much
	tidyLeast    = 4 << 20  // bytes allocated since the last time
)

// tidier gives memory back to the system when a burst is over. Thousands that come leave garbage between their records,
// which otherwise would stay until as much again has been allocated. A broker that allocates nothing is not woken for it.
type tidier struct {
	free func() // collects all garbage, and gives back what is free

	seen  uint64 // bytes allocated until the last look
	freed uint64 // and until the last time that memory was given back
}

func newTidier() *tidier { return &tidier{free: debug.FreeOSMemory} }

// run frees memory until ctx ends: each time when Go has collected garbage by itself, and things are quiet again.
func (t *tidier) run(ctx context.Context) {
	collected := make(chan struct{}, 1)
	watchCollections(ctx, collected)
	for {
		select {
		case <-ctx.Done():
			return
		case <-collected:
		}
		for !t.look(heapNow()) {
			select {
			case <-ctx.Done():
				return
			case <-time.After(tidyInterval):
			}
		}
	}
}

// look reports whether nothing much was allocated since the last look. If so it frees memory, provided that so much was
// allocated since it did that last: tidyLeast, and a quarter of what is in use.
func (t *tidier) look(allocated, live uint64) bool {
	quiet := allocated-t.seen < tidyQuiet
	t.seen = allocated
	if quiet && allocated-t.freed >= max(tidyLeast, live/4) {
		t.free()
		t.freed = allocated
	}
	return quiet
}

// heapNow returns how many bytes were ever allocated, and how many the last collection found in use.
func heapNow() (allocated, live uint64) {
	now := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"}}
	metrics.Read(now)
	return now[0].Value.Uint64(), now[1].Value.Uint64()
}

// watchCollections tells collected of every collection until ctx ends, by an object that nobody else knows of.
func watchCollections(ctx context.Context, collected chan<- struct{}) {
	type unreachable struct{ _ *byte } // with a pointer, so that it does not share its place with others
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
