package bench

// counters are the counters of a worker.
type counters struct {
	// Connections.
	dialed, opened, failed, lost, retried uint64
	up                                    int64
	firstDial, lastUp                     int64 // ns since the run began; 0: none

	// Messages: all, and those due within the measured time.
	sent, sentWithin         uint64
	expected, expectedWithin uint64 // deliveries
	received, receivedWithin uint64 // without duplicates
	arrived                  uint64 // received within the measured time, whenever due
	duplicated, reordered    uint64
	misrouted, corrupted     uint64
	foreign                  uint64 // of another run
	acknowledged, rejected   uint64
	unsent, unacknowledged   uint64 // at the end
	stalls                   uint64
	slowReceived, skipped    uint64 // of the slow subscribers
	done                     uint64 // clients with all retained messages; cycles of churn
	finished                 uint64 // workers whose publishers have ended
}

// add adds the counters o.
func (n *counters) add(o counters) {
	n.dialed += o.dialed
	n.opened += o.opened
	n.failed += o.failed
	n.lost += o.lost
	n.retried += o.retried
	n.up += o.up
	if n.firstDial == 0 || o.firstDial != 0 && o.firstDial < n.firstDial {
		n.firstDial = o.firstDial
	}
	n.lastUp = max(n.lastUp, o.lastUp)
	n.sent += o.sent
	n.sentWithin += o.sentWithin
	n.expected += o.expected
	n.expectedWithin += o.expectedWithin
	n.received += o.received
	n.receivedWithin += o.receivedWithin
	n.arrived += o.arrived
	n.duplicated += o.duplicated
	n.reordered += o.reordered
	n.misrouted += o.misrouted
	n.corrupted += o.corrupted
	n.foreign += o.foreign
	n.acknowledged += o.acknowledged
	n.rejected += o.rejected
	n.unsent += o.unsent
	n.unacknowledged += o.unacknowledged
	n.stalls += o.stalls
	n.slowReceived += o.slowReceived
	n.skipped += o.skipped
	n.done += o.done
	n.finished += o.finished
}
