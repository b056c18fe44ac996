package broker_test

import (
	"bytes"
	"testing"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
	"github.com/outcry-mqtt/outcry/broker/guard"
)

// Limits that come later hold for those who are there, and none of them is closed.
func TestSetLimits(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{Hooks: []any{keeper{}}})
	here := s.from("192.0.2.1:1")
	connect := func(id string) *raw.Client {
		c := here(raw.V5)
		c.Connect(login(id, "ann", "open"))
		return c
	}
	refused := func(limit string, want uint64) {
		t.Helper()
		here(raw.V5).ExpectClosed()
		s.limited(limit, want)
	}
	one, two := connect("one"), connect("two")
	s.SetLimits(broker.Limits{Guard: guard.Options{MaxPerAddress: 2}})
	refused("address_connections", 1)

	s.SetLimits(broker.Limits{Guard: guard.Options{MaxPerUser: 2}})
	three := here(raw.V5)
	three.SendConnect(login("three", "ann", "open"))
	three.ExpectRefused(0x97)
	bye(two)
	s.eventually("two are gone", func(st broker.Stats) bool { return sumConnections(st) == 1 })
	two = connect("two")

	s.SetLimits(broker.Limits{MaxConnections: 2})
	refused("connections", 1)

	s.SetLimits(broker.Limits{})
	connect("three")
	two.Subscribe(0, "room")
	fast := bytes.Repeat(raw.Publish{Topic: "room", Payload: "x"}.Bytes(raw.V5), 10)
	for i, l := range []broker.Limits{
		{MessageRate: .001, MessageBurst: 1},
		{Guard: guard.Options{MessagesPerSecond: .001, MessageBurst: 1}},
	} {
		s.SetLimits(l)
		one.Send(fast)
		s.limited([]string{"message_rate", "address_message_rate"}[i], 1)
		s.SetLimits(broker.Limits{}) // and without a limit nobody has to wait any more
		for range 10 {
			two.ExpectPublish("room", "x")
		}
	}
}
