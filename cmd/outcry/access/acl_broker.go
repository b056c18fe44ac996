package access

import (
	"fmt"
	"strings"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/topic"
	"github.com/outcry-mqtt/outcry/hooks/rules"
)

// ownNotices are the topics of the broker's notices to a single client.
var ownNotices = map[string]string{
	"$me/dropped":       "which messages it has lost, and why",
	"$me/denied":        "which of its messages were not allowed, where MQTT has no answer that says so",
	"$me/token":         "when its token expires, and what became of a fresh one",
	"$me/subscriptions": "which of its subscriptions have ended",
}

// byBroker returns the broker's own decision, as far as it is known without a connected client; the reason is "" if
// the rules decide.
func (a *aclAnswer) byBroker(q *rules.Question) (reason string, allowed bool) {
	l := &a.config.Limits
	switch {
	case l.MaxTopicBytes > 0 && len(a.Topic) > l.MaxTopicBytes.Int():
		return fmt.Sprintf("it has %d bytes; limits.max_topic lets it have %d", len(a.Topic), l.MaxTopicBytes), false
	case l.MaxTopicLevels > 0 && topic.Levels(q.Topic) > l.MaxTopicLevels:
		return fmt.Sprintf("it has %d levels; limits.max_topic_levels lets it have %d", topic.Levels(q.Topic), l.MaxTopicLevels), false
	case l.ControlCharacters == "refuse" && topic.HasControls(a.Topic):
		return "it has a control character or a non-character; limits.control_characters refuses them", false
	}
	if q.Action == broker.Publish {
		return publishByBroker(q.Topic)
	}
	return subscribeByBroker(q.Topic, q.Topic != a.Topic)
}

func publishByBroker(name string) (reason string, allowed bool) {
	root, _, _ := strings.Cut(name, "/")
	switch {
	case broker.IsBridgeState(name):
		return "", false
	case root == "$SYS" || root == "$me":
		return "only the broker publishes below " + root, false
	case name == "$auth/token":
		return "any client may show a fresh token there; the broker takes it, and nobody else gets it", true
	}
	return "", false
}

func subscribeByBroker(filter string, shared bool) (reason string, allowed bool) {
	root, _, _ := strings.Cut(filter, "/")
	switch {
	case root == "$me" && shared:
		return "what the broker tells a client about itself cannot be shared", false
	case root == "$me" && ownNotices[filter] != "":
		return "a client may always hear from the broker " + ownNotices[filter], true
	case root == "$me":
		return "a client may always hear what the broker tells it about itself", true
	}
	return "", false
}
