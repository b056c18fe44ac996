package broker

// inflightFloor is the number of bytes that a client may always leave unacknowledged, regardless of other sessions.
const inflightFloor = 64 << 10

// inflightUnit is the number of bytes in a unit of an in-flight window.
const inflightUnit = 16

// mayFly reports whether a message may be sent now, given the unacknowledged messages. Copies of those are kept until the client
// acknowledges them, and count toward MaxQueuedBytes as the queue does. Across all sessions they take at most half of the account,
// because unlike queued messages they cannot give way. One message may always be sent.
func (ss *session) mayFly(d *delivery) bool {
	held := ss.inflightBytes()
	if held == 0 || ss.sendsOnce(d) {
		return true
	}
	s, n := ss.shard, d.m.size()
	if held+n <= inflightFloor {
		return true
	}
	a := &s.b.account
	return held+n <= s.b.limits.MaxQueuedBytes && a.bytes.Load()+s.waits.unentered.bytes+int64(n) <= a.most.bytes/2
}

// inflightBytes returns the bytes of kept messages in flight.
func (ss *session) inflightBytes() int { return int(ss.inflight.units) * inflightUnit }

// countInflight adds a message to the account before it enters the window, or subtracts it before it leaves.
func (ss *session) countInflight(o *outgoing, sign int) {
	if o.d.m == nil {
		return
	}
	units := sign * ((o.d.m.size() + inflightUnit - 1) / inflightUnit)
	ss.inflight.units = uint32(int(ss.inflight.units) + units)
	ss.shard.countInflight(units * inflightUnit)
}

func (s *shard) countInflight(bytes int) {
	s.stats.inflightBytes += int64(bytes)
	s.countWaiting(0, bytes)
}
