package broker_test

import (
	"fmt"
	"testing"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// TestShardsThatSleep has two clients on different shards answer each other, so that each message finds the other shard
// asleep or about to be: none may be left lying there.
func TestShardsThatSleep(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{Shards: 2})
	var clients [2]*raw.Client
	for shard := range clients {
		clients[shard] = s.connect(raw.Connect{Version: raw.V311, ID: s.idOn(shard, "client"), Clean: true})
		clients[shard].Subscribe(0, fmt.Sprint("to/", shard))
	}
	const rounds = 2000
	for i := range rounds {
		text := fmt.Sprint(i)
		clients[0].Publish(raw.Publish{Topic: "to/1", Payload: text})
		clients[1].ExpectPublish("to/1", text)
		clients[1].Publish(raw.Publish{Topic: "to/0", Payload: text})
		clients[0].ExpectPublish("to/0", text)
	}
	lent := uint64(0)
	for _, shard := range s.Stats().Shards {
		lent += shard.TurnsByOthers
	}
	if lent == 0 {
		t.Error("no turn of a sleeping shard was done by the other")
	}
}
