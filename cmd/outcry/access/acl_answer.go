package access

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/topic"
	"github.com/outcry-mqtt/outcry/cmd/outcry/config"
	"github.com/outcry-mqtt/outcry/hooks/rules"
)

// aclAnswer is the output of acl test.
type aclAnswer struct {
	config *config.Loaded

	Allow      bool        `json:"allow"`
	Action     string      `json:"action"`
	Topic      string      `json:"topic,omitempty"`
	QoS        uint8       `json:"qos"`
	Retain     bool        `json:"retain"`
	GrantedQoS *uint8      `json:"granted_qos,omitempty"` // of an allowed subscription
	User       string      `json:"user"`
	Client     string      `json:"client,omitempty"`
	Rule       string      `json:"rule,omitempty"` // the deciding rule, such as rooms[2].join[0], or the nearest one
	At         string      `json:"at,omitempty"`   // its position, such as config.yaml:12:5
	Topics     string      `json:"topics,omitempty"`
	Reason     string      `json:"reason"`
	Passed     []aclPassed `json:"passed"`
}

// aclPassed is a rule that did not decide.
type aclPassed struct {
	Rule   string `json:"rule"`
	At     string `json:"at"`
	Reason string `json:"reason"`
}

// setDecision copies a decision.
func (a *aclAnswer) setDecision(d rules.Decision) {
	a.Allow, a.Rule, a.Topics, a.Reason = d.Allow, d.Path, d.Topics, d.Reason
	if d.Allow && a.Action == "subscribe" {
		a.GrantedQoS = &d.QoS
	}
	if a.Rule == "" {
		a.Rule = d.Nearest
	}
	if a.Rule != "" {
		a.At = a.where(a.Rule)
	}
	a.Passed = []aclPassed{}
	for _, p := range d.Passed {
		a.Passed = append(a.Passed, aclPassed{p.Path, a.where(p.Path), p.Reason})
	}
}

// where returns the position of a rule.
func (a *aclAnswer) where(path string) string {
	if strings.HasPrefix(path, "claims.") {
		return "the client's claims"
	}
	return a.config.Where(path).String()
}

func (f *aclFlags) print(w io.Writer, a *aclAnswer) error {
	if f.json {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		return e.Encode(a)
	}
	if f.verbose {
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, p := range a.Passed {
			fmt.Fprintf(t, "passed   %s\t%s\t%s\n", p.Rule, p.At, p.Reason)
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	verdict := "denied "
	if a.Allow {
		verdict = "allowed"
	}
	text := a.Reason
	if a.At != "" {
		text += " (" + a.At + ")"
	}
	_, err := fmt.Fprintln(w, verdict+"  "+text)
	return err
}

// ownNotices are the topics of the broker's notices to a single client.
var ownNotices = map[string]string{
	"$me/dropped":       "its lost messages, with the reason",
	"$me/denied":        "its refused messages, where MQTT has no negative acknowledgement",
	"$me/token":         "the expiry of its token, and the result of a fresh one",
	"$me/subscriptions": "its ended subscriptions",
}

// byBroker returns the broker's own decision, as far as it is known without a connected client; the reason is "" if
// the rules decide.
func (a *aclAnswer) byBroker(q *rules.Question) (reason string, allowed bool) {
	l := &a.config.Limits
	switch {
	case l.MaxTopicBytes > 0 && len(a.Topic) > l.MaxTopicBytes.Int():
		return fmt.Sprintf("the topic has %d bytes; limits.max_topic allows %d", len(a.Topic), l.MaxTopicBytes), false
	case l.MaxTopicLevels > 0 && topic.Levels(q.Topic) > l.MaxTopicLevels:
		return fmt.Sprintf("the topic has %d levels; limits.max_topic_levels allows %d", topic.Levels(q.Topic), l.MaxTopicLevels), false
	case l.ControlCharacters == "refuse" && topic.HasControls(a.Topic):
		return "the topic has a control character or a non-character; limits.control_characters refuses them", false
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
		return "any client may publish a fresh token to it; only the broker receives it", true
	}
	return "", false
}

func subscribeByBroker(filter string, shared bool) (reason string, allowed bool) {
	root, _, _ := strings.Cut(filter, "/")
	switch {
	case root == "$me" && shared:
		return "a shared subscription cannot include $me", false
	case root == "$me" && ownNotices[filter] != "":
		return "any client may subscribe to the broker's notices about " + ownNotices[filter], true
	case root == "$me":
		return "any client may subscribe to the broker's notices about itself", true
	}
	return "", false
}
