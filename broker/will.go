package broker

import (
	"log/slog"
	"slices"
	"time"

	"github.com/outcry-mqtt/outcry/broker/storage"
	"github.com/outcry-mqtt/outcry/internal/wire"
)

// will is the message to publish for a client whose connection ends without a DISCONNECT (MQTT 5 3.1.2.5).
type will struct {
	client  *Client // its publisher
	message message
	expiry  time.Duration // counted from its first publication; 0: none
	expires int64         // on the broker's clock; 0: not published yet, or no expiry
	delay   time.Duration
	late    *publishedWill // it is due, and the search for its subscribers takes several steps; nil: no such search
	owed    bool           // it waits because the disk is full
}

// willQueue holds the wills of a shard that are due and not published yet.
type willQueue struct {
	owed      []publishedWill  // waiting because the disk is full
	owedBytes int              // of owed
	late      []*publishedWill // waiting for the search for their subscribers
	lateBytes int              // of late
	stopping  bool             // wills are published at once from now on
}

// left returns the remaining time until the will's message expires, at least 1 ms; 0: it does not expire.
func (w *will) left(now int64) time.Duration {
	if w.expires == 0 {
		return w.expiry
	}
	return max(time.Duration(w.expires-now), time.Millisecond)
}

// setWill gives the session the will of its new connection, in place of any other.
func (ss *session) setWill(w *wire.Will) {
	ss.deferred = false
	if w == nil {
		ss.replaceWill(nil)
		return
	}
	ss.replaceWill(&will{
		client:  ss.conn.identity.client,
		message: message{topic: w.Topic, payload: w.Payload, props: w.Props, qos: w.QoS, retain: w.Retain, from: ss.source},
		expiry:  time.Duration(w.Expiry) * time.Second,
		delay:   time.Duration(w.Delay) * time.Second,
	})
}

// replaceWill sets the session's will, and counts its bytes in the usage.
func (ss *session) replaceWill(w *will) {
	bytes := w.cost() - ss.will.cost()
	ss.will = w
	if bytes != 0 {
		ss.shard.b.usages.countBytes(ss, bytes)
	}
}

// freeWill is the size of a will that counts for no limit: each session has room for one.
const freeWill = 1024

// cost returns the bytes that the will counts for. w may be nil.
func (w *will) cost() int64 {
	if w == nil {
		return 0
	}
	return willCost(len(w.message.topic), len(w.message.payload), len(w.message.props))
}

func willCost(topic, payload, props int) int64 { return int64(max(topic+payload+props-freeWill, 0)) }

// publishWill publishes the will, if there is one.
func (ss *session) publishWill() {
	w := ss.will
	if w == nil || !ss.shard.hasFound(publishedWill{ss: ss, w: w}) {
		return
	}
	ss.replaceWill(nil)
	ss.saveNow(savingSession) // in the transaction of the will
	ss.shard.publishWill(ss, w, nil)
}

// publishWill publishes a will, if there is one and the rules and the Admitters still allow it. forgetting holds the
// deletions of a session that ends with the will: both are in one transaction, otherwise a crash could lose both.
func (s *shard) publishWill(ss *session, w *will, forgetting []storage.Op) {
	p := publishedWill{ss, w, forgetting}
	if w != nil && !s.hasFound(p) {
		return
	}
	defer func() { s.topics.settled = nil }()
	if w != nil && s.b.diskFull() && s.persists(&w.message) {
		w.beginExpiry(s.now)
		s.owe(p)
		s.persistWill(s.openTxn(), p)
		s.retryOwed()
		return
	}
	if w != nil {
		s.forgetOwed(w)
		if s.publishWillMessage(w) {
			t := s.openTxn()
			t.wills = append(t.wills, p)
			return
		}
	}
	for _, op := range forgetting {
		s.openTxn().add(op)
	}
}

// persists reports whether the message must be persisted.
func (s *shard) persists(m *message) bool {
	r := s.topics.of(m.topic)
	r.interest(s)
	return m.qos > 0 && s.b.store != nil && (m.retain || r.isDurable())
}

// publishWillMessage publishes a will and reports whether the message must be persisted.
func (s *shard) publishWillMessage(w *will) (persists bool) {
	m := w.message
	if s.b.limits.refuses(m.topic) { // a store may hold a will from a time when such topics were allowed
		s.stats.dropped[dropControls]++
		return false
	}
	if r := s.b.admitWill(w); r != nil {
		s.stats.dropped[dropNotAuthorized]++
		s.b.lines.write(slog.LevelInfo, "will", "will not authorized", "client", shown(w.client.ID),
			"user", shown(w.client.Identity.User), "topic", shown(m.topic), "reason", shown(r.Reason))
		return false
	}
	m.read = s.now
	w.beginExpiry(s.now)
	if m.expires = w.expires; m.expired(s.now) { // it expired while it could not be persisted
		s.stats.dropped[dropExpired]++
		return false
	}
	s.publish(&m, s.topics.of(m.topic), nil)
	return m.qos > 0 && s.b.store != nil && (m.stored != nil || m.retain)
}

// admitWill returns the reason why a will may no longer be published; nil: it may. Admitters and rules allowed it when its
// client connected, and are asked again. An expired token is no reason: the will informs others of that.
func (b *Broker) admitWill(w *will) *Refusal {
	if refusal := b.admit(w.client); refusal != nil {
		return refusal
	}
	if m := &w.message; !b.grant(w.client, Publish, m.topic).takes(m.qos, m.retain) {
		return refusedWill
	}
	return nil
}

// beginExpiry starts the will's expiry now, if it has one and it has not started.
func (w *will) beginExpiry(now int64) {
	if w.expiry > 0 && w.expires == 0 {
		w.expires = after(now, w.expiry)
	}
}

// publishedWill is a will that was published, or is due.
type publishedWill struct {
	ss         *session
	w          *will
	forgetting []storage.Op // of the session, if it ended with the will
}

// owe holds a will until the disk has room: in its session if that still exists, otherwise here. The store then holds the
// session's record a little longer, with the will.
func (s *shard) owe(p publishedWill) {
	s.forgetOwed(p.w) // remove an older entry, from before the end of its session
	switch ss := p.ss; {
	case ss.will == nil && ss.conn == nil && !ss.ended:
		ss.replaceWill(p.w)
		ss.willAt = s.now
		ss.saveNext(savingSession)
	case s.outlives(p):
		p.forgetRecord()
	case s.wills.owedBytes >= maxOwedBytes:
		s.stats.dropped[dropQueueFull]++
		for _, op := range s.stillForgetting(p) {
			s.openTxn().add(op)
		}
		return
	}
	p.w.owed = true
	s.wills.owed = append(s.wills.owed, p)
	s.wills.owedBytes += p.w.message.size()
}

// maxOwedBytes is the size of a shard's owed wills beyond which a will without a session is dropped.
const maxOwedBytes = 4 << 20

// forgetOwed removes a will from the owed ones.
func (s *shard) forgetOwed(w *will) {
	if !w.owed {
		return
	}
	w.owed = false
	s.wills.owedBytes -= w.message.size()
	s.wills.owed = slices.DeleteFunc(s.wills.owed, func(p publishedWill) bool { return p.w == w })
}

// forgetRecord adds the deletion of the session's record to the will's next publication. The record of a session that ended
// while its will was being persisted is written once more.
func (p *publishedWill) forgetRecord() {
	isRecord := func(op storage.Op) bool { return op.Space == storage.SpaceSessions }
	if !slices.ContainsFunc(p.forgetting, isRecord) {
		p.forgetting = append(slices.Clone(p.forgetting), storage.Op{Space: storage.SpaceSessions, Key: p.ss.id, Delete: true})
	}
}

// outlives reports whether the record of an ended session can hold its will.
func (s *shard) outlives(p publishedWill) bool {
	return p.ss.ended && p.ss.durable != nil && s.sessions[p.ss.id] == nil
}

// persistOwed persists the owed wills of ended sessions.
func (s *shard) persistOwed(t *txn) {
	for _, p := range s.wills.owed {
		s.persistWill(t, p)
	}
}

func (s *shard) persistWill(t *txn, p publishedWill) {
	if !s.outlives(p) {
		return
	}
	p.ss.will = p.w
	t.add(p.ss.put())
	p.ss.will = nil
}

// publishOwed publishes the wills that waited for room on disk.
func (s *shard) publishOwed() {
	owed := s.wills.owed
	s.wills.owed, s.wills.owedBytes = nil, 0
	for _, p := range owed {
		p.w.owed = false
		if p.ss.will == p.w {
			p.ss.publishWill()
		} else {
			s.publishWill(p.ss, p.w, s.stillForgetting(p))
		}
	}
}

// retryOwed schedules the owed wills to be published again, unless the store fails.
func (s *shard) retryOwed() {
	if len(s.wills.owed) > 0 && !s.journal.retry.Armed() {
		s.wheel.Arm(&s.journal.retry, deadline(s.now, storeRetry))
	}
}

// stillForgetting returns the deletions of an ended session, without its record if another session has the same client identifier by now.
func (s *shard) stillForgetting(p publishedWill) []storage.Op {
	if s.sessions[p.ss.id] == nil {
		return p.forgetting
	}
	return slices.DeleteFunc(slices.Clone(p.forgetting), func(op storage.Op) bool { return op.Space == storage.SpaceSessions })
}
