package broker_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
	"github.com/outcry-mqtt/outcry/broker/storage"
)

// TestSessionEndsInSteps has a durable session with many subscriptions end while the store stands still, so that it cannot lose
// all of them. Whoever has its client identifier then gets nothing because of them, and its user may subscribe anew.
func TestSessionEndsInSteps(t *testing.T) {
	t.Parallel()
	const n = 3000
	disk := newDisk()
	s := start(t, broker.Options{Store: disk, Shards: 1, Limits: broker.Limits{MaxSubscriptionsPerUser: n + 20}})
	t.Cleanup(disk.flow)
	c := s.connect(willTo("will", "c", 1, 3600))
	c.Subscribe(1, many("topic", n)...)
	c.Subscribe(1, "will", "$share/g/jobs")
	member := s.connect(v5Durable("member"))
	member.Subscribe(1, "$share/g/jobs", "will")
	s.eventually("the store rests", func(broker.Stats) bool { return s.StoringOps() == 0 })
	disk.stall(0)
	k := v5Durable("c")
	k.Clean = true
	again := s.connect(k)
	c.ExpectEnd(0x8E)
	member.ExpectPublish("will", "gone")
	s.eventually("it waits for the store", func(st broker.Stats) bool {
		return st.Subscriptions < n && s.StoringOps() >= broker.MostStoringUnits/2
	})
	if left := s.Stats().Subscriptions; left < n/4 {
		t.Fatalf("%d subscriptions are left: the test shows nothing", left)
	}
	p := s.connect(raw.Connect{Version: raw.V5, ID: "p", Clean: true})
	member.Disconnect()
	for i := range n {
		qos := 0
		if i < 500 {
			qos = 1
		}
		p.Send(raw.Publish{Topic: fmt.Sprint("topic/", i), Payload: "old", QoS: byte(qos), ID: qos * (1 + i)}.Bytes(raw.V5))
	}
	for i := range 4 { // the ended session is a member until its turn comes
		p.Send(raw.Publish{Topic: "jobs", Payload: "work", QoS: 1, ID: 501 + i}.Bytes(raw.V5))
	}
	again.Send(subscribeTo(many("topic", n)[:10]))
	s.eventually("the member that is left has all the work", func(st broker.Stats) bool { return st.Queued == 4 })
	disk.flow()
	for _, code := range again.ExpectAck(raw.SUBACK, 9).Codes {
		if code != 1 {
			t.Fatalf("a subscription of the new session: 0x%02X", code)
		}
	}
	again.ExpectNothing()
	s.eventually("the old session's subscriptions are gone", func(st broker.Stats) bool { return st.Subscriptions == 12 })
	s.eventually("from the store, too", func(broker.Stats) bool { return disk.count(storage.SpaceSubscriptions) == 12 })
}

// TestDropSessionWithManySubscriptions returns when nothing of the session is stored.
func TestDropSessionWithManySubscriptions(t *testing.T) {
	t.Parallel()
	disk := newDisk()
	s := start(t, broker.Options{Store: disk})
	t.Cleanup(disk.flow)
	c := s.connect(v5Durable("c"))
	c.Subscribe(1, many("topic", 5000)...)
	if err := s.DropSession(context.Background(), "c"); err != nil {
		t.Fatal(err)
	}
	if used := disk.used(); used != [storage.Spaces]int{} {
		t.Errorf("the store has %v", used)
	}
}

// TestStopWhileSessionsEnd leaves nothing of a session in the store that had many subscriptions and ended just before.
func TestStopWhileSessionsEnd(t *testing.T) {
	t.Parallel()
	disk := newDisk()
	o := broker.Options{Store: disk}
	broker.LeaveInSteps(&o)
	s := start(t, o)
	c := s.connect(v5Durable("c"))
	c.Subscribe(1, many("topic", 5000)...)
	c.Send(raw.Disconnect(0, raw.Num(raw.SessionExpiry, 0)))
	c.ExpectClosed()
	s.cancel()
	if err := <-s.ended; err != nil {
		t.Fatal(err)
	}
	s.ended <- nil
	if used := disk.used(); used != [storage.Spaces]int{} {
		t.Errorf("the store has %v", used)
	}
}

// TestDoomedConnectionsAreClosedInSteps leaves connections that a turn has no time for to the next ones.
func TestDoomedConnectionsAreClosedInSteps(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{Shards: 1})
	const n = 10
	var all []*raw.Client
	for i := range n {
		all = append(all, s.connect(raw.Connect{Version: raw.V5, ID: fmt.Sprint("c", i), Clean: true}))
	}
	if left := s.DoomAll(); left != n-1 {
		t.Errorf("%d connections are left for the next turns, want %d", left, n-1)
	}
	for _, c := range all {
		c.ExpectEnd(0x98)
	}
}
