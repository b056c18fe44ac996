package broker

import (
	"slices"
	"time"

	"github.com/outcry-mqtt/outcry/broker/wire"
)

// will is the message that is published for a client that went without a word (MQTT 5 3.1.2.5).
type will struct {
	client  *Client // who it is published as
	message message
	expiry  time.Duration // counted from when it is published; 0: none
	delay   time.Duration
	owed    bool // it was published, and could not be stored
}

// setWill gives the session the will of its new connection, in place of any other.
func (ss *session) setWill(w *wire.Will) {
	ss.will = nil
	if w == nil {
		return
	}
	ss.will = &will{
		client:  ss.conn.client,
		message: message{topic: w.Topic, payload: w.Payload, props: w.Props, qos: w.QoS, retain: w.Retain, from: ss},
		expiry:  time.Duration(w.Expiry) * time.Second,
		delay:   time.Duration(w.Delay) * time.Second,
	}
}

// publishWill publishes the will, if there is one.
func (ss *session) publishWill() {
	w := ss.will
	ss.will = nil
	if w != nil {
		ss.saveNow(savingSession) // in the transaction that the will is in
		ss.shard.publishWill(ss, w, nil)
	}
}

// publishWill publishes a will, if there is one and the rules still allow it. forgetting is what deletes a session that ends
// with it: the two go to the disk together, for otherwise a crash could have neither.
func (s *shard) publishWill(ss *session, w *will, forgetting []Op) {
	if w != nil {
		w.owed = false
		if m, isKept := s.publishWillMessage(w); isKept {
			t := s.openTxn()
			t.wills = append(t.wills, publishedWill{ss, w, m, forgetting})
			return
		}
	}
	for _, op := range forgetting {
		s.openTxn().add(op)
	}
}

// publishWillMessage returns what the store keeps of the message for sessions, and whether it has to keep it at all.
func (s *shard) publishWillMessage(w *will) (kept *stored, isKept bool) {
	m := w.message
	if !s.b.grant(w.client, Publish, m.topic).takes(m.qos, m.retain) {
		s.stats.dropped[dropNotAuthorized]++
		return nil, false
	}
	m.read = s.now
	if w.expiry > 0 {
		m.expires = s.now + int64(w.expiry)
	}
	s.publish(&m, s.routeOf(m.topic), nil)
	return m.stored, m.qos > 0 && s.b.store != nil && (m.stored != nil || m.retain)
}

// publishedWill is a will that has to be published again if the transaction that it is in fails: there is no client to send it
// once more.
type publishedWill struct {
	ss         *session
	w          *will
	m          *stored // nil: it is only retained
	forgetting []Op    // of the session, if that ended with it
}

// owe keeps a will until the store works again: in its session if that still stands, and otherwise here. Then the store has
// the session a little longer, with the will; if another has its identifier by now, or the store never had it, the message
// may be on disk although it failed, and stays there until the will is published again.
func (s *shard) owe(p publishedWill) {
	p.w.owed = true
	s.owed = slices.DeleteFunc(s.owed, func(earlier publishedWill) bool { // from when its session still stood
		return earlier.w == p.w
	})
	if ss := p.ss; ss.will == nil && ss.conn == nil && !ss.ended {
		ss.will, ss.willAt = p.w, s.now
		ss.saveNext(savingSession)
	} else if p.m != nil && !s.outlives(p) {
		p.m.owed = true
		p.forgetting = append(slices.Clone(p.forgetting), p.m.deletion())
	}
	s.owed = append(s.owed, p)
}

// outlives tells that the record of a session which has ended can keep its will.
func (s *shard) outlives(p publishedWill) bool {
	return p.ss.ended && p.ss.durable != nil && s.sessions[p.ss.id] == nil
}

// keepOwed has the store keep the wills that are owed, of sessions that have ended.
func (s *shard) keepOwed(t *txn) {
	for _, p := range s.owed {
		if s.outlives(p) {
			p.ss.will = p.w
			t.add(Op{Space: SpaceSessions, Key: p.ss.id, Value: p.ss.encode()})
			p.ss.will = nil
		}
	}
}

// publishOwed publishes the wills that could not be stored.
func (s *shard) publishOwed() {
	owed := s.owed
	s.owed = nil
	for _, p := range owed {
		switch {
		case !p.w.owed: // it has been, meanwhile
		case p.ss.will == p.w:
			p.ss.publishWill()
		default:
			s.publishWill(p.ss, p.w, s.stillForgetting(p))
		}
	}
}

// stillForgetting is what deletes an ended session but for its record, if another session has that by now.
func (s *shard) stillForgetting(p publishedWill) []Op {
	if s.sessions[p.ss.id] == nil {
		return p.forgetting
	}
	return slices.DeleteFunc(slices.Clone(p.forgetting), func(op Op) bool { return op.Space == SpaceSessions })
}
