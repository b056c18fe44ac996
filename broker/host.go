package broker

import (
	"fmt"
	"time"

	"github.com/outcry-mqtt/outcry/broker/poller"
)

// While there is little to do the first shard hosts the others: its loop waits for their sockets as well and does their
// turns, on its thread, while their own loops sleep. A message that would wake two threads wakes one, and a thread less
// competes for the processors. docs/decisions/0002-how-a-shard-waits.md has the figures.

// hostRules tell when shards are hosted.
type hostRules struct {
	every        time.Duration // the use of processors is looked at
	below, above float64       // processors used by the program: the others come; they go
	writes       int           // connections written to in a turn that all shards had better share
	calm         time.Duration // without such a turn, before the others come
}

var defaultHostRules = hostRules{every: 50 * time.Millisecond, below: 0.7, above: 0.85, writes: 64, calm: time.Second}

// guestTokens and the tokens below it are those of guests' pollers. No connection has them: there are no such slots.
const guestTokens = ^uint64(0) - 1

// hosting is what a host knows, and what a guest does.
type hosting struct {
	// Of the host.
	guests []*shard
	ready  shardSet // guests whose sockets are
	asked  bool     // the others have been asked to be guests
	looked int64    // when the use of processors was looked at, on the broker's clock
	used   time.Duration
	ended  chan struct{} // closed with the host's loop

	// Of a guest.
	invited bool          // the loop is to leave its turns to the host
	hosted  bool          // it has
	turned  bool          // it has had a turn since wakesAt was worked out
	release chan struct{} // ends that
}

// considerGuests asks the other shards to be guests when there is little to do, and lets them go when there is much. The
// first shard does it at the end of its turns.
func (s *shard) considerGuests() {
	rules := &s.b.options.hosting
	calm := s.now-s.b.crowded.Load() > int64(rules.calm)
	if !calm && len(s.host.guests) > 0 {
		s.dismissGuests()
	}
	past := s.now - s.host.looked
	if past < int64(rules.every) {
		return
	}
	used := processorTime()
	load := float64(used-s.host.used) / float64(past)
	s.host.looked, s.host.used = s.now, used
	switch {
	case load > rules.above:
		s.dismissGuests()
	case load < rules.below && calm && !s.host.asked && !s.ending:
		s.host.asked = true
		for _, to := range s.b.shards[1:] {
			to.post(call(func(g *shard) { g.host.invited = !g.host.hosted && !g.ending }))
		}
	}
}

// dismissGuests lets all guests go.
func (s *shard) dismissGuests() {
	for _, g := range s.host.guests {
		_ = s.poll.Leave(g.poll)
		s.rouse &^= 1 << g.index // it looks itself
		g.host.release <- struct{}{}
	}
	s.host.guests, s.host.ready, s.host.asked = nil, 0, false
}

// beGuest leaves the shard's turns to the first one until that has enough of it.
func (s *shard) beGuest() {
	s.host.invited, s.host.hosted, s.host.turned = false, true, true
	s.turning.Unlock()
	first := s.b.shards[0]
	first.post(call(func(h *shard) { h.takeGuest(s) }))
	select {
	case <-s.host.release:
	case <-first.host.ended:
	}
	s.turning.Lock()
	s.host.hosted = false
}

func (s *shard) takeGuest(g *shard) {
	if s.ending || s.poll.Join(g.poll, guestTokens-uint64(g.index)) != nil {
		g.host.release <- struct{}{}
		return
	}
	s.host.guests = append(s.host.guests, g)
	s.poll.Wake() // if another shard does this turn: the loop waits and does not know the guest
}

// noteGuest notes that the poller with a token, which is no connection's, has something.
func (s *shard) noteGuest(token uint64) {
	if index := guestTokens - token; index < MaxShards {
		s.host.ready |= 1 << index
	}
}

// prepareGuests announces that the host is about to wait, and tells until when it may, on the broker's clock. It returns
// false if a guest has something to do already.
func (s *shard) prepareGuests(until int64) (int64, bool) {
	idle := true
	for _, g := range s.host.guests {
		g.turning.Lock()
		g.poll.Prepare()
		idle = idle && !g.pressed()
		if g.host.turned {
			g.wakesAt, g.host.turned = g.dueAt(), false
		}
		until = min(until, g.wakesAt)
		g.turning.Unlock()
	}
	return until, idle
}

// turnGuests does a turn of each guest that has something to do.
func (s *shard) turnGuests() error {
	ending := s.ending
	for _, g := range s.host.guests {
		g.turning.Lock()
		err := g.turnAsGuest(s.host.ready.has(g.index))
		ending = ending || g.ending
		g.turning.Unlock()
		if err != nil {
			return err
		}
	}
	s.host.ready = 0
	if ending {
		s.dismissGuests() // each loop waits for its own connections to go
	}
	return nil
}

func (s *shard) turnAsGuest(ready bool) error {
	if !ready && !s.pressed() && s.wakesAt > s.b.clock.now() {
		return nil
	}
	var events []poller.Event
	if ready {
		var err error
		if events, err = s.poll.Wait(0, true); err != nil {
			return fmt.Errorf("shard %d: %w", s.index, err)
		}
	}
	s.stats.lent++
	s.turn(events)
	return nil
}
