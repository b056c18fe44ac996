package config

import (
	"strings"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/hooks/rules"
)

// Rule allows or denies actions; see rules.Rule.
type Rule struct {
	Access  string            `key:"access" oneof:"allow deny"`
	Actions []string          `key:"actions"`
	Who     []string          `key:"who"`
	Claims  map[string]string `key:"claims"`
	Topics  []string          `key:"topics"`
	MaxQoS  string            `key:"max_qos" oneof:"0 1 2"`     // "": 2
	Retain  string            `key:"retain" oneof:"true false"` // "": true
	MaxRate float64           `key:"max_rate" least:"0.001"`    // 0: no limit
}

// Room is a family of topics; see rules.Room.
type Room struct {
	Topics string   `key:"topics"`
	Join   []string `key:"join"`
	Speak  []string `key:"speak"`
	Queue  string   `key:"queue" oneof:"drop-oldest conflate disconnect"` // "": drop-oldest
	MaxQoS string   `key:"max_qos" oneof:"0 1 2"`                         // as in Rule
	Retain string   `key:"retain" oneof:"true false"`

	MaxRate float64 `key:"max_rate" least:"0.001"`
}

// ClientID permits client identifiers; see rules.ClientID.
type ClientID struct {
	Who []string `key:"who"`
	IDs []string `key:"ids"`
}

var queuePolicies = map[string]broker.QueuePolicy{
	"drop-oldest": broker.DropOldest,
	"conflate":    broker.Conflate,
	"disconnect":  broker.Disconnect,
}

// aclClaim is the claim with a client's own rules. A token has it only if JWT.RulesClaim or Issuer.RulesClaim is set.
const aclClaim = "acl"

// RuleOptions returns the options of the rules hook.
func (c *Config) RuleOptions() rules.Options {
	o := rules.Options{ACLClaim: aclClaim}
	for _, r := range c.Rules {
		o.Rules = append(o.Rules, rules.Rule{
			Allow: r.Access == "allow", Actions: r.Actions, Who: r.Who, Claims: r.Claims, Topics: r.Topics,
			MaxQoS: parseQoS(r.MaxQoS), NoRetain: r.Retain == "false", MaxRate: r.MaxRate,
		})
	}
	for _, r := range c.Rooms {
		o.Rooms = append(o.Rooms, rules.Room{
			Topics: r.Topics, Join: r.Join, Speak: r.Speak, Queue: queuePolicies[r.Queue],
			MaxQoS: parseQoS(r.MaxQoS), NoRetain: r.Retain == "false", MaxRate: r.MaxRate,
		})
	}
	for _, r := range c.ClientIDs {
		o.ClientIDs = append(o.ClientIDs, rules.ClientID{Who: r.Who, IDs: r.IDs})
	}
	return o
}

// parseQoS converts an allowed text to a number; nil for "".
func parseQoS(text string) *byte {
	if text == "" {
		return nil
	}
	return new(text[0] - '0')
}

func defaultRules() (list []Rule) {
	for _, r := range rules.Default().Rules {
		access := "deny"
		if r.Allow {
			access = "allow"
		}
		list = append(list, Rule{Access: access, Actions: r.Actions, Who: r.Who, Claims: r.Claims, Topics: r.Topics})
	}
	return list
}

func defaultRooms() (list []Room) {
	for _, r := range rules.Default().Rooms {
		list = append(list, Room{Topics: r.Topics, Join: r.Join, Speak: r.Speak, Queue: queueName(r.Queue)})
	}
	return list
}

func queueName(p broker.QueuePolicy) string {
	for name, policy := range queuePolicies {
		if policy == p {
			return name
		}
	}
	return ""
}

// rules checks the rules. The hook's paths are the same as in the configuration.
func (v *validator) rules() {
	for i, r := range v.loaded.Rules {
		if r.Access == "" {
			v.report(Item("rules", i)+".access", "is missing", "write allow or deny")
		}
	}
	for _, p := range rules.Check(v.loaded.RuleOptions()) {
		v.report(p.Path, strings.TrimSpace(p.Message), p.Hint)
	}
}
