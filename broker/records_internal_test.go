package broker

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker/storage"
)

// recordedClock has stamps that are easy to read: its time 0 is stamp 1,700,000,000,000.
const recordedClock = 1_700_000_000_000

// newRecorded is a shard of a broker with a store, at ten seconds of its clock.
func newRecorded(t *testing.T) *shard {
	t.Helper()
	b, err := New(Options{Shards: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Shutdown(t.Context()) })
	b.clock.base = recordedClock
	s := b.shards[0]
	s.now = int64(10 * time.Second)
	return s
}

// recordedSession is a session with everything that a record can have of one.
func recordedSession(s *shard) *session {
	ss := s.newSession("c", "ann")
	ss.durable = &durable{num: 300}
	ss.expiry, ss.endsAt, ss.willAt, ss.deferred = time.Hour, int64(3610*time.Second), int64(15*time.Second), true
	ss.will = &will{
		client: &Client{
			ID: "c", Identity: &Identity{User: "ann", Method: "jwt", Claims: map[string]any{"level": 3.5}}, Listener: "tcp",
			Remote: "192.0.2.7:1234", Version: 5, Assigned: true,
		},
		message: message{topic: "wills/c", payload: []byte("gone"), props: []byte{1, 1}, qos: 2, retain: true, from: ss.source},
		expiry:  time.Minute, delay: 5 * time.Second,
	}
	return ss
}

func TestSessionIsRecordedAndRestored(t *testing.T) {
	want := storage.Session{
		ClientID: "c", Number: 300, User: "ann", Expiry: time.Hour, Offline: true, EndsAt: recordedClock + 3_610_000, Deferred: true,
		Will: &storage.Will{
			Topic: "wills/c", QoS: 2, Retain: true, Props: []byte{1, 1}, Payload: []byte("gone"), Delay: 5 * time.Second, Expiry: time.Minute,
			Assigned: true, Claims: map[string]any{"level": 3.5}, Method: "jwt", Listener: "tcp", Remote: "192.0.2.7:1234", Version: 5,
		},
		WillAt: recordedClock + 15_000,
	}
	ss := recordedSession(newRecorded(t))
	if got := ss.record(); !reflect.DeepEqual(got, want) {
		t.Errorf("recorded\n%+v, %+v, want\n%+v, %+v", got, got.Will, want, want.Will)
	}
	again := newRecorded(t).newSession("c", "ann")
	again.restore(&want)
	if got := again.record(); !reflect.DeepEqual(got, want) || again.will.message.from != again.source {
		t.Errorf("restored and recorded\n%+v, %+v, want\n%+v, %+v", got, got.Will, want, want.Will)
	}

	ss.conn = &conn{shard: ss.shard}
	ss.will.expires = int64(40 * time.Second)
	want.Offline, want.Deferred, want.EndsAt, want.WillAt, want.Will.Expiry = false, false, 0, 0, 30*time.Second
	if got := ss.record(); !reflect.DeepEqual(got, want) {
		t.Errorf("connected it is\n%+v, %+v, want\n%+v, %+v", got, got.Will, want, want.Will)
	}
}

func TestSubscriptionIsRecordedAndRestored(t *testing.T) {
	for _, want := range []storage.Subscription{
		{Session: 300, Filter: "a/+/#", QoS: 1},
		{Session: 300, Filter: "a/+/#", ID: 268435455, Handling: 2, NoLocal: true, Retain: true, Replays: true, Every: time.Second},
		{Session: 300, Share: "g", Filter: "a/b", QoS: 2, ID: 1, Handling: 1, Retain: true},
	} {
		ss := recordedSession(newRecorded(t))
		ss.restoreSubscription(&want)
		ss.subs.each(func(sub *subscription) {
			if got := sub.record(); got != want {
				t.Errorf("restored and recorded\n%+v, want\n%+v", got, want)
			}
		})
		if n := ss.subs.len(); n != 1 {
			t.Errorf("the session has %d subscriptions", n)
		}
	}
}

func TestFlowIsRecordedAndRestored(t *testing.T) {
	ss := recordedSession(newRecorded(t))
	ss.durable.sentSeq, ss.durable.forgone = 1000, forgone{{From: 1002, To: 1002}, {From: 1010, To: 1400}}
	ss.inflight.lastID = 698
	for i, state := range []sendState{awaitAck, awaitRec, awaitComp} {
		ss.inflight.push(&outgoing{id: uint16(699 + i), state: state, d: delivery{seq: uint64(998 + i)}, sent: true})
	}
	for _, x := range []unreleasedID{{id: 7}, {id: 8, released: true}, {id: 300}} {
		ss.unreleased.set(x)
	}
	ss.losses = &losses{
		counts: map[dropReason]uint64{dropTooLarge: 1, dropQueueFull: 400}, untold: map[dropReason]uint64{dropExpired: 3},
		last: recordedClock + 9000, missed: &missed{topics: map[string]missedTopic{"t": {qos: 1}}},
	}
	want := storage.Flow{
		Session: 300, SentSeq: 1000, LastID: 701,
		Outgoing: []storage.Outgoing{
			{Seq: 998, ID: 699, State: storage.AwaitPuback}, {Seq: 999, ID: 700, State: storage.AwaitPubrec},
			{Seq: 1000, ID: 701, State: storage.AwaitPubcomp},
		},
		Received: []uint16{7, 300},
		Losses: storage.Losses{
			Counts: []storage.Loss{{Reason: "queue_full", Count: 400}, {Reason: "packet_too_large", Count: 1}}, Last: recordedClock + 9000,
			Missed: true, MissedQoS: 1,
		},
		Forgone: []storage.Places{{From: 1002, To: 1002}, {From: 1010, To: 1400}},
	}
	var got storage.Flow
	for range 2 { // the second time into the same memory
		if ss.recordFlow(&got); !reflect.DeepEqual(got, want) {
			t.Fatalf("recorded\n%+v, want\n%+v", got, want)
		}
	}

	s := newRecorded(t)
	again := &restored{ss: recordedSession(s)}
	again.flow = again.ss.restoreFlow(&want)
	for seq, qos := range map[uint64]byte{998: 1, 999: 2} {
		again.waiting = append(again.waiting, delivery{m: &message{topic: "t", qos: qos}, qos: qos, seq: seq})
	}
	again.finish()
	if again.ss.recordFlow(&got); !reflect.DeepEqual(got, want) {
		t.Errorf("restored and recorded\n%+v, want\n%+v", got, want)
	}
}

// A program that knows other reasons may have written the losses.
func TestUnknownReasonOfLosses(t *testing.T) {
	ss := recordedSession(newRecorded(t))
	known := storage.Loss{Reason: "queue_full", Count: 2}
	ss.restoreLosses(&storage.Losses{Counts: []storage.Loss{{Reason: "another", Count: 9}, known}, Last: recordedClock})
	if got := ss.recordLosses(nil); !slices.Equal(got.Counts, []storage.Loss{known}) || got.Last != recordedClock || got.Missed {
		t.Errorf("restored and recorded: %+v", got)
	}
}

func TestMessageIsRecordedAndRestored(t *testing.T) {
	s := newRecorded(t)
	c := &s.b.clock
	m := &message{topic: "a/b", payload: []byte("hello"), props: []byte{3, 0, 1, 'x'}, qos: 2, retain: true, expires: int64(70 * time.Second)}
	want := storage.Message{
		Topic: "a/b", QoS: 2, Retain: true, Expires: recordedClock + 70_000, Props: []byte{3, 0, 1, 'x'}, Payload: []byte("hello"),
	}
	if got := m.record(c); !reflect.DeepEqual(got, want) {
		t.Errorf("recorded\n%+v, want\n%+v", got, want)
	}
	if got := restoreMessage(&want, c, 5).record(c); !reflect.DeepEqual(got, want) {
		t.Errorf("restored and recorded\n%+v, want\n%+v", got, want)
	}
	retained := storage.Retained{Topic: "a/b", QoS: 2, Expires: recordedClock + 70_000, Props: []byte{3, 0, 1, 'x'}, Payload: []byte("hello")}
	if got := m.retainedRecord(c); !reflect.DeepEqual(got, retained) {
		t.Errorf("retained it is\n%+v, want\n%+v", got, retained)
	}
	if got := restoreRetained(&retained, c).retainedRecord(c); !reflect.DeepEqual(got, retained) {
		t.Errorf("retained, restored and recorded\n%+v, want\n%+v", got, retained)
	}

	ss := recordedSession(s)
	m.group = &group{name: "g", filter: "a/b"}
	d := &delivery{m: m, ids: []uint32{1, 9}, qos: 1, retain: true, seq: 12}
	target := storage.Target{Session: 300, Seq: 12, QoS: 1, Retain: true, IDs: []uint32{1, 9}, Share: "g", Filter: "a/b"}
	if got := d.target(ss); !reflect.DeepEqual(got, target) {
		t.Errorf("the target is %+v, want %+v", got, target)
	}
}

// What is recorded for each QoS 1 or 2 message of a durable session takes no memory but its bytes.
func TestRecordsDoNotAllocate(t *testing.T) {
	s := newRecorded(t)
	ss := recordedSession(s)
	ss.inflight.lastID = 1
	ss.inflight.push(&outgoing{id: 2, state: awaitRec, d: delivery{seq: 1}, sent: true})
	ss.unreleased.set(unreleasedID{id: 7})
	ss.losses = &losses{counts: map[dropReason]uint64{dropQueueFull: 1}}
	m := &message{topic: "a/b", payload: []byte("hello"), qos: 2}
	d := &delivery{m: m, ids: []uint32{1}, qos: 2, seq: 12}
	value := make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(100, func() {
		r, t := m.record(&s.b.clock), d.target(ss)
		value = t.Append(r.Append(value[:0]))
	}); n != 0 {
		t.Errorf("%v allocations for a message and a target", n)
	}
	if n := testing.AllocsPerRun(100, func() { ss.putFlow() }); n != 2 { // its key and its value
		t.Errorf("%v allocations for a flow", n)
	}
}
