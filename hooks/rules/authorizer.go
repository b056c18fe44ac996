// Package rules decides which clients may publish and subscribe to which topics. An Authorizer evaluates rules in
// order: the first match wins, and everything else is denied. Rooms are families of topics with lists of readers and
// writers; they become rules behind the explicit ones.
//
// It never reads credentials or payloads, and never narrows or widens a filter: a subscription is allowed or refused
// as a whole.
package rules

import (
	"sync/atomic"

	"github.com/outcry-mqtt/outcry/broker"
)

// Authorizer decides by rules and rooms. It is a broker.Granter, a broker.Admitter and a broker.TopicPolicy. It is
// safe for concurrent use, updates included.
type Authorizer struct {
	current atomic.Pointer[ruleset] // replaced as a whole: a decision uses one version of the rules
	own     ownRules
}

var (
	_ broker.Granter     = (*Authorizer)(nil)
	_ broker.Admitter    = (*Authorizer)(nil)
	_ broker.TopicPolicy = (*Authorizer)(nil)
)

// New returns an Authorizer with the rules o. Its error is Problems.
func New(o Options) (*Authorizer, error) {
	a := &Authorizer{}
	if err := a.Update(o); err != nil {
		return nil, err
	}
	return a, nil
}

// Update replaces the rules. If o is invalid it returns Problems and the old rules apply. The caller then calls
// broker.Broker.RulesChanged.
func (a *Authorizer) Update(o Options) error {
	s, problems := compile(o)
	if len(problems) > 0 {
		return problems
	}
	s.own = &a.own
	a.current.Store(s)
	return nil
}

// Authorize reports whether c may do action on topic.
//
// To publish and to be delivered, the topic's name must match. To subscribe, an allowing rule must match every topic
// that the filter can match; a denying rule refuses the filter if it matches any of them.
func (a *Authorizer) Authorize(c *broker.Client, action broker.Action, topic string) bool {
	return a.Grant(c, action, topic).Allowed
}

// Grant returns c's permission for action on topic, with the limits of the deciding rule.
func (a *Authorizer) Grant(c *broker.Client, action broker.Action, topic string) broker.Grant {
	r, _ := a.current.Load().first(c, action, topic)
	if r == nil {
		return broker.Grant{}
	}
	return r.grant
}

// Admit refuses a client whose own rules are invalid (0x87), and one that may not use its client identifier (0x85).
// An identifier assigned by the broker may always be used.
func (a *Authorizer) Admit(c *broker.Client) *broker.Refusal {
	s := a.current.Load()
	if _, err := s.ownOf(c.Identity); err != nil {
		return &broker.Refusal{Code: broker.CodeNotAuthorized, Reason: err.Error(), Label: "bad_acl"}
	}
	if len(s.ids) == 0 || c.Assigned || s.idRule(c) != nil {
		return nil
	}
	return &broker.Refusal{Code: broker.CodeClientIDNotValid, Reason: "this user may not use this client identifier", Label: "client_id"}
}

// QueuePolicy returns the policy of the first room with this topic, or broker.DropOldest.
func (a *Authorizer) QueuePolicy(topic string) broker.QueuePolicy {
	queues := a.current.Load().queues
	for i := range queues {
		if queues[i].topics.covers(topic, nil) {
			return queues[i].policy
		}
	}
	return broker.DropOldest
}

// first returns the first rule that decides, and its matching topics.
func (s *ruleset) first(c *broker.Client, action broker.Action, topic string) (*rule, *pattern) {
	wanted := actionOf(action)
	for _, part := range s.parts(c.Identity) {
		for i := range part {
			r := &part[i]
			if r.actions&wanted == 0 {
				continue
			}
			if p := r.match(c, action, topic); p != nil && r.isAbout(c.Identity) {
				return r, p
			}
		}
	}
	return nil, nil
}

// parts returns the rules for a client in order of evaluation. A client whose own rules are invalid gets no rooms:
// the rules could have denied something.
func (s *ruleset) parts(id *broker.Identity) [3][]rule {
	own, err := s.ownOf(id)
	if err != nil {
		return [3][]rule{s.rules}
	}
	return [3][]rule{s.rules, own, s.rooms}
}

// match returns the first of the rule's topic patterns that decides about topic.
func (r *rule) match(c *broker.Client, action broker.Action, topic string) *pattern {
	for i := range r.topics {
		p := &r.topics[i]
		if p.covers(topic, c) || !r.grant.Allowed && action == broker.Subscribe && p.overlaps(topic, c) {
			return p
		}
	}
	return nil
}

// isAbout reports whether the rule applies to a client, its topics aside.
func (r *rule) isAbout(id *broker.Identity) bool {
	if !r.who.includes(id) {
		return false
	}
	for i := range r.claims {
		if !r.claims[i].holds(id.Claims) {
			return false
		}
	}
	return true
}
