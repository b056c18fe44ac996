package broker_test

import (
	"errors"
	"slices"
	"sync"

	"github.com/outcry-mqtt/outcry/broker"
)

// disk is a store in memory that can stall, and then takes nothing until it flows again, or fail. It never reorders.
type disk struct {
	*shelf

	mu      sync.Mutex // guards what follows
	stalls  bool
	left    int // commits that are taken before it stands still
	pending []func()
}

func newDisk() *disk { return &disk{shelf: newShelf()} }

func (d *disk) Commit(ops []broker.Op, done func(error)) {
	d.take(func() { d.shelf.Commit(ops, done) })
}

func (d *disk) Later(op broker.Op) { d.take(func() { d.shelf.Later(op) }) }

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

var errDiskFull = errors.New("disk full")

// left is the disk that a process finds which starts after one was killed now.
func (d *disk) afterCrash() *disk { return &disk{shelf: d.copied()} }

// used is how many values the spaces of sessions have, by space.
func (d *disk) used() (n [broker.Spaces]int) {
	for _, s := range []broker.Space{broker.SpaceSessions, broker.SpaceSubscriptions, broker.SpaceFlows, broker.SpaceMessages} {
		n[s] = d.count(s)
	}
	return n
}

// has tells whether a session is on the disk.
func (d *disk) has(id string) bool {
	d.shelf.mu.Lock()
	defer d.shelf.mu.Unlock()
	return slices.Contains(keys(d.values[broker.SpaceSessions]), id)
}

func keys[V any](m map[string]V) (all []string) {
	for k := range m {
		all = append(all, k)
	}
	slices.Sort(all)
	return all
}
