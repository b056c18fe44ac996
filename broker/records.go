package broker

import (
	"slices"
	"time"

	"github.com/outcry-mqtt/outcry/broker/storage"
)

// This file converts sessions, wills, subscriptions and flows to records and back. Records hold the clock's timestamps, a
// shard holds times on the broker's clock.

// record returns the session's record, without its subscriptions and its flow.
func (ss *session) record() storage.Session {
	clock := &ss.shard.b.clock
	isOffline := ss.conn == nil
	r := storage.Session{
		ClientID: ss.id, Number: ss.durable.num, User: ss.usage.user, Expiry: ss.expiry, Offline: isOffline, Deferred: isOffline && ss.deferred,
	}
	if isOffline {
		r.EndsAt = clock.stamp(ss.endsAt)
	}
	if ss.will == nil {
		return r
	}
	r.Will = ss.will.record(ss.shard.now)
	if isOffline {
		r.WillAt = clock.stamp(ss.willAt)
	}
	return r
}

// restore sets up a new session from a record. If its client was connected, the caller must set the session's end with setOffline.
func (ss *session) restore(r *storage.Session) {
	clock := &ss.shard.b.clock
	ss.durable = &durable{num: r.Number}
	ss.expiry, ss.deferred = r.Expiry, r.Deferred
	if r.Offline {
		ss.endsAt = clock.from(r.EndsAt)
	}
	if r.Will == nil {
		return
	}
	ss.replaceWill(restoreWill(r.Will, ss))
	if r.Offline {
		ss.willAt = clock.from(r.WillAt)
	}
}

// record returns the record of the will, with the attributes of its client that rules may use.
func (w *will) record(now int64) *storage.Will {
	m, c := &w.message, w.client
	return &storage.Will{
		Topic: m.topic, QoS: m.qos, Retain: m.retain, Props: m.props, Payload: m.payload, Delay: w.delay, Expiry: w.left(now),
		Assigned: c.Assigned, Claims: c.Identity.Claims, Method: c.Identity.Method, Listener: c.Listener, Remote: c.Remote,
		Version: c.Version,
	}
}

func restoreWill(r *storage.Will, ss *session) *will {
	return &will{
		client: &Client{
			ID: ss.id, Identity: &Identity{User: ss.usage.user, Claims: r.Claims, Method: r.Method}, Listener: r.Listener, Remote: r.Remote,
			Version: r.Version, Assigned: r.Assigned,
		},
		message: message{topic: r.Topic, payload: r.Payload, props: r.Props, qos: r.QoS, retain: r.Retain, from: ss.source},
		expiry:  r.Expiry,
		delay:   r.Delay,
	}
}

// record returns the record of a durable session's subscription.
func (sub *subscription) record() storage.Subscription {
	k := sub.key()
	return storage.Subscription{
		Session: sub.session.durable.num, Share: k.share, Filter: k.filter, ID: sub.id, QoS: sub.qos, Handling: sub.handling,
		NoLocal: sub.noLocal, Retain: sub.retain, Replays: sub.replays, Every: time.Duration(sub.every()),
	}
}

func (ss *session) restoreSubscription(r *storage.Subscription) {
	sub := &subscription{
		session: ss, id: r.ID, qos: r.QoS, handling: r.Handling, noLocal: r.NoLocal, retain: r.Retain, replays: r.Replays,
	}
	ss.shard.subscribe(sub, subscriptionKey{r.Share, r.Filter}, min(int64(r.Every), longestPace))
	ss.subs.add(sub)
}

// recordFlow stores the session's flow in f. It reuses the memory of f's lists, because a flow is written for each QoS 2
// message. Forgone may be the session's own.
func (ss *session) recordFlow(f *storage.Flow) {
	under, received, losses := f.Outgoing[:0], f.Received[:0], f.Losses.Counts[:0]
	ss.inflight.each(func(o *outgoing) {
		under = append(under, storage.Outgoing{Seq: o.d.seq, ID: o.id, State: storage.SendState(o.state)})
	})
	for id := range ss.unreleased.held() {
		received = append(received, id)
	}
	sent, gone := ss.position()
	*f = storage.Flow{
		Session: ss.durable.num, SentSeq: sent, LastID: ss.inflight.lastID, Outgoing: under, Received: received,
		Losses: ss.recordLosses(losses), Forgone: gone,
	}
}

// recordLosses returns the session's losses, with the counts appended to an empty list.
func (ss *session) recordLosses(counts []storage.Loss) (l storage.Losses) {
	if g := ss.losses; g.tells() {
		for i, label := range dropLabels {
			if n, lost := g.counts[dropReason(i)]; lost {
				counts = append(counts, storage.Loss{Reason: label, Count: n})
			}
		}
		l.Last = g.last
	}
	l.Counts = counts
	switch {
	case ss.replay != nil && ss.replay.recovers:
		l.Missed, l.MissedQoS = true, 2
	case ss.misses():
		l.Missed, l.MissedQoS = true, ss.losses.missed.mostQoS()
	}
	return l
}

// flow is the inflight state of a session during restore. Its messages are read later.
type flow struct {
	sentSeq uint64
	lastID  uint16
	live    []outgoing // of delivery, only seq is set
	forgone forgone
}

// restoreFlow restores the session's unreleased QoS 2 identifiers and its losses, and returns the state of the messages to the client.
func (ss *session) restoreFlow(r *storage.Flow) flow {
	for _, id := range r.Received {
		ss.unreleased.set(unreleasedID{id: id})
	}
	ss.restoreLosses(&r.Losses)
	f := flow{sentSeq: r.SentSeq, lastID: r.LastID, live: make([]outgoing, 0, len(r.Outgoing)), forgone: r.Forgone}
	for _, o := range r.Outgoing {
		f.live = append(f.live, outgoing{d: delivery{seq: o.Seq}, id: o.ID, state: sendState(o.State), sent: true})
	}
	return f
}

// restoreLosses restores the losses, except for reasons that this program does not know.
func (ss *session) restoreLosses(l *storage.Losses) {
	if len(l.Counts) > 0 {
		g := ss.ensureLosses()
		g.counts, g.last, g.changed = make(map[dropReason]uint64), l.Last, true
		for _, each := range l.Counts {
			if i := slices.Index(dropLabels[:], each.Reason); i >= 0 {
				g.counts[dropReason(i)] = each.Count
			}
		}
	}
	if l.Missed {
		x := new(missed)
		x.fallBehind(0, l.MissedQoS)
		ss.ensureLosses().missed = x
	}
}
