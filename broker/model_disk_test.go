package broker_test

import (
	"errors"
	"slices"
	"sync"

	"github.com/outcry-mqtt/outcry/broker/storage"
)

// disk is a store in memory that can stall, and then takes nothing until it flows again, or fail. It never reorders.
type disk struct {
	*memoryStore

	mu      sync.Mutex // guards what follows
	stalls  bool
	left    int // commits that are taken before it stands still
	pending []func()
}

func newDisk() *disk { return &disk{memoryStore: newMemoryStore()} }

func (d *disk) Commit(ops []storage.Op, done func(error)) {
	d.take(func() { d.memoryStore.Commit(ops, done) })
}

func (d *disk) Later(op storage.Op) { d.take(func() { d.memoryStore.Later(op) }) }

func (d *disk) take(change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stalls && d.left == 0 {
		d.pending = append(d.pending, change)
		return
	}
	d.left--
	change()
}

// stall makes the disk stand still after so many more commits.
func (d *disk) stall(after int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stalls, d.left = true, after
}

// flow takes what has come since the disk stood still, and from now on everything.
func (d *disk) flow() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, change := range d.pending {
		change()
	}
	d.stalls, d.pending = false, nil
}

// failWaiting fails every write since the disk stalled; later writes succeed.
func (d *disk) failWaiting(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.setFail(err)
	for _, change := range d.pending {
		change()
	}
	d.setFail(nil)
	d.stalls, d.pending = false, nil
}

var errDiskFull = errors.New("disk full")

// afterCrash is the disk that a process finds which starts after one was killed now.
func (d *disk) afterCrash() *disk { return &disk{memoryStore: d.copied()} }

// used is how many values the spaces of sessions have, by space.
func (d *disk) used() (n [storage.Spaces]int) {
	for _, s := range []storage.Space{storage.SpaceSessions, storage.SpaceSubscriptions, storage.SpaceFlows, storage.SpaceMessages} {
		n[s] = d.count(s)
	}
	return n
}

// has tells whether a session is on the disk.
func (d *disk) has(id string) bool {
	d.memoryStore.mu.Lock()
	defer d.memoryStore.mu.Unlock()
	return slices.Contains(keys(d.values[storage.SpaceSessions]), id)
}

func keys[V any](m map[string]V) (all []string) {
	for k := range m {
		all = append(all, k)
	}
	slices.Sort(all)
	return all
}
