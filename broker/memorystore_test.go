package broker_test

import (
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/outcry-mqtt/outcry/broker/storage"
)

// errSync fails a commit that is in the store all the same: everything was written, and the sync failed.
var errSync = errors.New("sync: input/output error")

// memoryStore is a store in memory. Commits that touch a space that is held happen when the test says so.
type memoryStore struct {
	mu      sync.Mutex // guards what follows
	values  [storage.Spaces]map[string][]byte
	held    []storage.Space
	waiting []func(error)
	fail    error // what every other commit is told
}

func newMemoryStore() *memoryStore {
	s := new(memoryStore)
	for i := range s.values {
		s.values[i] = map[string][]byte{}
	}
	return s
}

func (s *memoryStore) Load(space storage.Space, fn func(string, []byte) error) error {
	values := s.values[space]
	for _, k := range slices.Sorted(maps.Keys(values)) {
		if err := fn(k, values[k]); err != nil {
			return err
		}
	}
	return nil
}

func (s *memoryStore) apply(op storage.Op) {
	if op.Delete {
		delete(s.values[op.Space], op.Key)
		return
	}
	s.values[op.Space][op.Key] = op.Value
}

func (s *memoryStore) Commit(ops []storage.Op, done func(error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	commit := func(err error) {
		if err == nil || errors.Is(err, errSync) {
			for _, op := range ops {
				s.apply(op)
			}
		}
		done(err)
	}
	if slices.ContainsFunc(ops, func(op storage.Op) bool { return slices.Contains(s.held, op.Space) }) {
		s.waiting = append(s.waiting, commit)
		return
	}
	commit(s.fail)
}

func (s *memoryStore) Later(op storage.Op) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.apply(op)
}

func (s *memoryStore) Close() error { return nil }

// hold makes commits that touch one of the spaces wait.
func (s *memoryStore) hold(spaces ...storage.Space) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = spaces
}

// setFail makes commits fail from now on, or succeed again.
func (s *memoryStore) setFail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

// commits is how many commits wait or have waited.
func (s *memoryStore) commits() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.waiting)
}

// finish ends the i-th of the commits that wait.
func (s *memoryStore) finish(i int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting[i](err)
	s.waiting[i] = nil
}

// release lets everything through that waits, and what comes.
func (s *memoryStore) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, commit := range s.waiting {
		if commit != nil {
			commit(nil)
		}
	}
	s.waiting, s.held = nil, nil
}

// count is how many values a space has.
func (s *memoryStore) count(space storage.Space) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.values[space])
}

// copied is what a process that was killed now would leave behind.
func (s *memoryStore) copied() *memoryStore {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := newMemoryStore()
	for i := range s.values {
		maps.Copy(c.values[i], s.values[i])
	}
	return c
}
