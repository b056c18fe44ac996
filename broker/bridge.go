package broker

import (
	"strings"

	"github.com/outcry-mqtt/outcry/broker/topic"
	"github.com/outcry-mqtt/outcry/internal/wire"
)

// bridgeTopics is the topic prefix on which bridges such as Mosquitto's publish their connection state, as a retained message and a
// retained will: $SYS/broker/connection/NAME/state.
const bridgeTopics = "$SYS/broker/connection/"

// IsBridgeState reports whether a topic carries a bridge's connection state. Below $SYS clients may publish to these topics only.
// The authorizers must allow it, as for any other topic.
func IsBridgeState(name string) bool {
	return len(name) > len(bridgeTopics) && strings.HasPrefix(name, bridgeTopics)
}

// asBridge sets the MQTT 5 subscription options for bridges on the filters of a 3.x bridge (MQTT 5 3.8.3.1): No Local, so that it
// does not get its own messages back, and Retain As Published, so that retained messages stay retained on its other side. Shared
// subscriptions do not get No Local [MQTT-3.8.3-4].
func asBridge(filters []wire.Filter) {
	for i := range filters {
		f := &filters[i]
		share, _, err := topic.SplitShare(f.Filter)
		f.NoLocal = err == nil && share == ""
		f.RetainAsPublished = true
	}
}
