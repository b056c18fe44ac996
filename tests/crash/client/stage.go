// Package client holds the publishers and subscribers of a crash test. These MQTT clients lose their connection
// frequently and follow the specification with their own packet identifiers, DUP and acknowledgements. They record
// their actions in a history, and never judge it.
package client

import (
	"context"
	"sync"
)

// Stage tells clients the broker's address and the state of the run.
type Stage struct {
	// Address of the broker. Static after the first round.
	Address string

	mu      sync.Mutex // guards the fields below
	changed chan struct{}
	round   int
	ending  bool
}

// NewStage returns a Stage at round 0.
func NewStage() *Stage { return &Stage{changed: make(chan struct{})} }

// Next begins a round.
func (s *Stage) Next(round int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.round = round
	s.change()
}

// End makes publishers send nothing new, and subscribers reconnect, stay and acknowledge at once.
func (s *Stage) End() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ending = true
	s.change()
}

func (s *Stage) change() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// Round returns the present round.
func (s *Stage) Round() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.round
}

// Ending reports whether End was called.
func (s *Stage) Ending() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ending
}

// await waits for a round, or the end of the run.
func (s *Stage) await(ctx context.Context, round int) {
	for {
		s.mu.Lock()
		changed, there := s.changed, s.round >= round || s.ending
		s.mu.Unlock()
		if there {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}
