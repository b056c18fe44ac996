package broker_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
	"github.com/outcry-mqtt/outcry/broker/storage"
)

// willTo is a client with a will of its own.
func willTo(topic, id string, qos byte, expiry int) raw.Connect {
	k := raw.Connect{Version: raw.V5, ID: id, Will: &raw.Will{Topic: topic, Payload: "gone", QoS: qos}}
	if expiry > 0 {
		k.Props = raw.Props{raw.Num(raw.SessionExpiry, expiry)}
	}
	return k
}

// TestWillToOwnSharedSubscription has wills that the client's own shared subscription matches, with and without another
// member on each shard (MQTT 5 3.1.2.5, 4.8.2).
func TestWillToOwnSharedSubscription(t *testing.T) {
	t.Parallel()
	for _, qos := range []byte{0, 1, 2} {
		for _, expiry := range []int{0, 1, 3600} {
			for _, other := range []int{-1, 0, 1} {
				t.Run(fmt.Sprintf("QoS %d, expiry %d, other member on shard %d", qos, expiry, other), func(t *testing.T) {
					t.Parallel()
					o := broker.Options{}
					if expiry > 0 {
						o.Store = newMemoryStore()
					}
					s := start(t, o)
					c := s.connect(willTo("status/a", s.idOn(0, "a"), qos, expiry))
					c.Subscribe(qos, "$share/g/status/#")
					var member *raw.Client
					if other >= 0 {
						member = s.connect(raw.Connect{Version: raw.V311, ID: s.idOn(other, "b"), Clean: true})
						member.Subscribe(qos, "$share/g/status/#")
					}
					c.Close()
					s.eventually("the session has gone offline or ended", func(st broker.Stats) bool {
						return st.Sessions-st.SessionsOffline == int64(min(other+1, 1))
					})
					if expiry > 0 { // its will was published when the connection was lost; now its session ends
						s.Advance(time.Hour + time.Second)
						s.eventually("the session has ended", func(st broker.Stats) bool { return st.SessionsOffline == 0 })
					}
					if member == nil {
						return
					}
					p := member.Expect(raw.PUBLISH)
					if p.Topic != "status/a" || p.Payload != "gone" || p.QoS != qos {
						t.Errorf("got %v", p)
					}
				})
			}
		}
	}
}

// TestLeftMessagesGoToMembersThatStay has all members of a group but one leave with messages that they have not
// acknowledged and wills to the group, in the order in which their shards come to it.
func TestLeftMessagesGoToMembersThatStay(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{Store: newMemoryStore()})
	var leaving []*raw.Client
	for i := range 6 {
		k := willTo("jobs/will", s.idOn(i%2, fmt.Sprint("leaves", i)), 1, 0)
		c := s.connect(k)
		c.Subscribe(1, "$share/g/jobs/#")
		leaving = append(leaving, c)
	}
	stays := s.connect(v5Durable("stays"))
	stays.Subscribe(1, "$share/g/jobs/#")
	pub := s.connect(raw.Connect{Version: raw.V5, ID: "pub", Clean: true})
	const jobs = 28
	for i := range jobs {
		pub.Publish(raw.Publish{Topic: "jobs/work", Payload: fmt.Sprint(i), QoS: 1})
	}
	for _, c := range leaving {
		c.Close()
	}
	got := map[string]bool{}
	wills := 0
	for len(got) < jobs || wills < len(leaving) {
		p := receive(stays, 1)[0]
		if p.Topic == "jobs/will" {
			wills++
		} else {
			got[p.Payload] = true
		}
	}
	stays.ExpectNothing()
}

// TestStoredWillToOwnSharedSubscription starts on the store of a broker that was killed while the client of such a will was
// connected.
func TestStoredWillToOwnSharedSubscription(t *testing.T) {
	t.Parallel()
	store := newMemoryStore()
	s := start(t, broker.Options{Store: store})
	s.connect(willTo("status/a", "a", 1, 5)).Subscribe(1, "$share/g/status/#")
	for range 2 {
		s, store = s.crash(store)
		s.eventually("the session is restored", func(st broker.Stats) bool { return st.Sessions == 1 })
	}
	s.Advance(20 * time.Second)
	s.eventually("the session has ended", func(st broker.Stats) bool { return st.Sessions == 0 })
	s.eventually("nothing of it is stored", func(broker.Stats) bool {
		return store.count(storage.SpaceSessions)+store.count(storage.SpaceSubscriptions)+store.count(storage.SpaceMessages) == 0
	})
}

// TestSubscribedInTheTurnOfTheEnd subscribes in the same turn in which the session ends with a will that is stored. Nothing of
// it may be left in the store.
func TestSubscribedInTheTurnOfTheEnd(t *testing.T) {
	t.Parallel()
	store := newMemoryStore()
	s := start(t, broker.Options{Store: store})
	watcher := s.connect(v5Durable("watcher"))
	watcher.Subscribe(1, "will")
	s.connect(willTo("will", "a", 1, 3600)).Disconnect()
	c := s.connect(willTo("will", "a", 1, 0)) // the session is stored, and ends with this connection
	c.Send(raw.Subscribe{ID: 1, Filters: []raw.Filter{{Name: "x/1"}, {Name: "$share/g/x", Options: 1}}}.Bytes(raw.V5),
		raw.Packet(0)) // no packet begins so
	if got := receive(watcher, 1); got[0].Payload != "gone" {
		t.Errorf("got %v", got[0])
	}
	s.eventually("only the watcher is in the store", func(broker.Stats) bool {
		return store.count(storage.SpaceSessions) == 1 && store.count(storage.SpaceSubscriptions) == 1 &&
			store.count(storage.SpaceFlows) <= 1 && store.count(storage.SpaceMessages) == 0
	})
}
