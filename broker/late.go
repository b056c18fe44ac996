package broker

import (
	"slices"
	"time"
)

// The search for a will's subscribers takes several steps if there are many filters: many wills may be due at once, and their
// clients choose the topics. Meanwhile the will stays in its session. If the session has ended, the store keeps its record.
const (
	lateTime     = 5 * time.Millisecond // per turn, for the searches
	maxLateBytes = 4 << 20              // size of a shard's waiting wills; beyond it a search runs to its end at once
)

// hasFound reports whether a will can be published now: its subscribers are known, or the search cannot be postponed. If not,
// resumeWills publishes the will later.
func (s *shard) hasFound(p publishedWill) bool {
	w := p.w
	if w.late != nil { // its session has ended meanwhile
		w.late.forgetting = p.forgetting
		return false
	}
	r := s.topics.of(w.message.topic)
	if s.wills.stopping || s.wills.lateBytes >= maxLateBytes || s.isReady(r) {
		return true
	}
	w.beginExpiry(s.now)
	w.late = &p
	s.wills.late = append(s.wills.late, w.late)
	s.wills.lateBytes += w.message.size()
	return false
}

// isReady makes a step of the search for a route's subscribers if they are unknown, and reports whether they are known.
func (s *shard) isReady(r *route) bool { return s.topics.settled == r || r.isCurrent(s) || s.settle(r) }

// resumeWills continues searches for lateTime, and publishes wills with known subscribers.
func (s *shard) resumeWills() {
	for until := s.b.clock.now() + int64(lateTime); len(s.wills.late) > 0; {
		if s.isReady(s.topics.of(s.wills.late[0].w.message.topic)) {
			s.publishFirst()
		}
		if s.b.clock.now() >= until {
			return
		}
	}
}

// finishWills publishes the remaining wills, and makes later ones be published at once.
func (s *shard) finishWills() {
	for s.wills.stopping = true; len(s.wills.late) > 0; {
		s.publishFirst()
	}
}

func (s *shard) publishFirst() {
	p := s.wills.late[0]
	s.wills.late = slices.Delete(s.wills.late, 0, 1)
	s.wills.lateBytes -= p.w.message.size()
	p.w.late = nil
	if p.ss.will == p.w {
		p.ss.publishWill()
		return
	}
	s.publishWill(p.ss, p.w, s.stillForgetting(*p)) // the session has ended, or its client is back
}

// dropLate removes the will of a dropped session.
func (s *shard) dropLate(ss *session) {
	s.wills.late = slices.DeleteFunc(s.wills.late, func(p *publishedWill) bool {
		if p.ss != ss {
			return false
		}
		s.wills.lateBytes -= p.w.message.size()
		p.w.late = nil
		return true
	})
}
