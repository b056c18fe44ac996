package broker_test

import (
	"testing"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
	"github.com/outcry-mqtt/outcry/broker/storage"
)

// TestFullStoreIsNoFailure has a store refuse commits because too much waits: nobody is disconnected, acknowledgements wait,
// and each message is stored once there is room.
func TestFullStoreIsNoFailure(t *testing.T) {
	store := newMemoryStore()
	s := start(t, broker.Options{Store: store})
	sub := s.connect(raw.Connect{Version: raw.V5, ID: "subscriber", Props: raw.Props{raw.Num(raw.SessionExpiry, 3600)}})
	sub.Subscribe(1, "a")
	sub.Close()
	p := s.connect(raw.Connect{Version: raw.V5, ID: "publisher", Clean: true})
	store.setFail(storage.ErrFull)
	p.Send(raw.Publish{Topic: "a", Payload: "1", QoS: 1, ID: 1}.Bytes(p.Version), raw.Publish{Topic: "a", Payload: "2", QoS: 1, ID: 2}.Bytes(p.Version))
	p.ExpectNothing()
	if n := s.Stats().Closed["store_failed"]; n != 0 {
		t.Errorf("%d connections were closed as if the store failed", n)
	}
	store.setFail(nil)
	p.ExpectAck(raw.PUBACK, 1)
	p.ExpectAck(raw.PUBACK, 2)
	p.Disconnect()
	if n := s.Stats().Queued; n != 2 {
		t.Errorf("%d messages wait", n)
	}
}
