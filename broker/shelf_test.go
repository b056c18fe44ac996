package broker_test

import (
	"maps"
	"slices"
	"sync"

	"github.com/outcry-mqtt/outcry/broker"
)

// shelf is a store in memory. Commits that touch a space that is held happen when the test says so.
type shelf struct {
	mu      sync.Mutex // guards what follows
	values  [broker.Spaces]map[string][]byte
	held    []broker.Space
	waiting []func(error)
	fail    error // what every other commit is told
}

func newShelf() *shelf {
	s := new(shelf)
	for i := range s.values {
		s.values[i] = map[string][]byte{}
	}
	return s
}

func (s *shelf) Load(space broker.Space, fn func(string, []byte) error) error {
	values := s.values[space]
	for _, k := range slices.Sorted(maps.Keys(values)) {
		if err := fn(k, values[k]); err != nil {
			return err
		}
	}
	return nil
}

func (s *shelf) apply(op broker.Op) {
	if op.Delete {
		delete(s.values[op.Space], op.Key)
		return
	}
	s.values[op.Space][op.Key] = op.Value
}

func (s *shelf) Commit(ops []broker.Op, done func(error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	commit := func(err error) {
		if err == nil {
			for _, op := range ops {
				s.apply(op)
			}
		}
		done(err)
	}
	if slices.ContainsFunc(ops, func(op broker.Op) bool { return slices.Contains(s.held, op.Space) }) {
		s.waiting = append(s.waiting, commit)
		return
	}
	commit(s.fail)
}

func (s *shelf) Later(op broker.Op) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.apply(op)
}

func (s *shelf) Close() error { return nil }

// hold makes commits that touch one of the spaces wait.
func (s *shelf) hold(spaces ...broker.Space) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = spaces
}

// setFail makes commits fail from now on, or succeed again.
func (s *shelf) setFail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

// commits is how many commits wait or have waited.
func (s *shelf) commits() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.waiting)
}

// finish ends the i-th of the commits that wait.
func (s *shelf) finish(i int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting[i](err)
	s.waiting[i] = nil
}

// release lets everything through that waits, and what comes.
func (s *shelf) release() {
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
func (s *shelf) count(space broker.Space) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.values[space])
}

// copied is what a process that was killed now would leave behind.
func (s *shelf) copied() *shelf {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := newShelf()
	for i := range s.values {
		maps.Copy(c.values[i], s.values[i])
	}
	return c
}
