package rules

import (
	"fmt"
	"slices"
	"strings"

	"github.com/outcry-mqtt/outcry/broker"
)

// Question is a client's intended action.
type Question struct {
	Action broker.Action
	Topic  string // a topic name; for Subscribe a topic filter, without its $share prefix
	QoS    byte
	Retain bool // RETAIN flag of a message
}

// Decision is an Authorizer's decision with its reason.
type Decision struct {
	Allow  bool
	QoS    byte   // maximum of a subscription, at most the requested one
	Path   string // path of the deciding rule: as in Problem.Path, or "claims.acl[0]" for the client's own; empty if none
	Topics string // the deciding rule's matching topic pattern, as written
	Reason string // a sentence for an operator, without claim values

	Nearest string // if no rule decided: path of the first rule that would allow it to another client, if any
	Passed  []Passed
}

// Passed is a rule that was evaluated before the deciding one, with the reason why it did not decide.
type Passed struct{ Path, Reason string }

// Explain decides like Grant and gives reasons. It is for tools and logs, not for the path of a message.
func (a *Authorizer) Explain(c *broker.Client, q Question) Decision {
	s := a.current.Load()
	r, p := s.first(c, q.Action, q.Topic)
	d := Decision{Passed: s.passed(r, c, &q)}
	if r == nil {
		d.Reason = "no rule allows it"
		if near, why := s.nearest(c, &q); near != nil {
			d.Nearest = near.path
			d.Reason += fmt.Sprintf("; %s is nearest, but %s", near.path, why)
		}
		if _, err := s.ownOf(c.Identity); err != nil {
			d.Reason = "the client's own rules are invalid, so no rule allows it: " + err.Error()
		}
		return d
	}
	d.Path, d.Topics = r.path, p.source
	verdict := "denies part of it"
	switch g := r.grant; {
	case g.Allowed && q.Action != broker.Subscribe && q.QoS > g.MaxQoS:
		verdict = fmt.Sprintf("allows QoS %d at most", g.MaxQoS)
	case g.Allowed && q.Action != broker.Subscribe && q.Retain && !g.Retain:
		verdict = "allows it only if it is not retained"
	case g.Allowed && q.QoS > g.MaxQoS:
		d.Allow, verdict = true, fmt.Sprintf("allows it with QoS %d", g.MaxQoS)
	case g.Allowed:
		d.Allow, verdict = true, "allows it"
	case p.covers(q.Topic, c):
		verdict = "denies it"
	}
	if d.Allow {
		d.QoS = min(q.QoS, r.grant.MaxQoS)
	}
	if d.Allow && q.Action == broker.Subscribe && r.grant.MaxRate != 0 {
		d.QoS = 0
		verdict = fmt.Sprintf("allows it with %v messages a second of each topic", r.grant.MaxRate)
	}
	d.Reason = fmt.Sprintf("%s %s: %s for %s", r.path, verdict, p.source, r.audience())
	return d
}

// ExplainAdmit explains whether a client may connect with its client identifier. QoS and Topics of the decision are
// unset.
func (a *Authorizer) ExplainAdmit(c *broker.Client) Decision {
	s := a.current.Load()
	if refusal := a.Admit(c); refusal != nil {
		d := Decision{Reason: refusal.Reason}
		for i := range s.ids {
			d.Passed = append(d.Passed, Passed{s.ids[i].path, s.ids[i].obstacle(c)})
		}
		return d
	}
	r := s.idRule(c)
	if r == nil {
		return Decision{Allow: true, Reason: "no rule restricts client identifiers"}
	}
	return Decision{Allow: true, Path: r.path, Reason: fmt.Sprintf("%s allows it: %s for %s", r.path, r.spelled(), strings.Join(r.who.source, ", "))}
}

// obstacle returns the reason why a rule does not permit a client's identifier.
func (r *idRule) obstacle(c *broker.Client) string {
	if !r.who.includes(c.Identity) {
		return "it applies to " + strings.Join(r.who.source, ", ")
	}
	return fmt.Sprintf("%s is not among %s", c.ID, r.spelled())
}

func (r *idRule) spelled() string {
	var sources []string
	for _, p := range r.ids {
		sources = append(sources, p.source)
	}
	return strings.Join(sources, ", ")
}

// passed returns every rule before until, with the reason why it did not decide.
func (s *ruleset) passed(until *rule, c *broker.Client, q *Question) (all []Passed) {
	for _, part := range s.parts(c.Identity) {
		for i := range part {
			r := &part[i]
			if r == until {
				return all
			}
			all = append(all, Passed{r.path, r.whyNot(c, q)})
		}
	}
	return all
}

// whyNot returns the reason why a rule does not decide.
func (r *rule) whyNot(c *broker.Client, q *Question) string {
	switch {
	case r.actions&actionOf(q.Action) == 0 && r.actions == publish:
		return "it applies to publishing only"
	case r.actions&actionOf(q.Action) == 0:
		return "it applies to subscribing only"
	}
	var sources []string
	for i := range r.topics {
		p := &r.topics[i]
		if shape := p.shape(); shape.overlaps(q.Topic, c) {
			return r.obstacle(p, &shape, c, q.Topic)
		}
		sources = append(sources, p.source)
	}
	return "its topics are " + strings.Join(sources, ", ")
}

// nearest returns the first rule that would allow the topic to another client, and the reason why it does not allow
// it to this one.
func (s *ruleset) nearest(c *broker.Client, q *Question) (near *rule, why string) {
	for _, part := range s.parts(c.Identity) {
		for i := range part {
			r := &part[i]
			if !r.grant.Allowed || r.actions&actionOf(q.Action) == 0 {
				continue
			}
			for j := range r.topics {
				p := &r.topics[j]
				if shape := p.shape(); shape.overlaps(q.Topic, c) {
					return r, r.obstacle(p, &shape, c, q.Topic)
				}
			}
		}
	}
	return nil, ""
}

// obstacle returns the reason why a rule whose topics overlap with topic does not decide about it.
func (r *rule) obstacle(p, shape *pattern, c *broker.Client, topic string) string {
	switch {
	case !r.isAbout(c.Identity):
		return "it applies to " + r.audience()
	case !shape.covers(topic, c):
		return fmt.Sprintf("%s matches more than %s", topic, p.source)
	}
	return fmt.Sprintf("%s is not among %s", topic, p.spelled())
}

// audience describes the clients that a rule applies to.
func (r *rule) audience() string {
	text := strings.Join(r.who.source, ", ")
	for i, claim := range r.claims {
		text += [...]string{" with ", " and "}[min(i, 1)] + claim.name + "=" + claim.value
	}
	return text
}

// spelled formats the pattern with its rooms replaced.
func (p *pattern) spelled() string {
	texts := make([]string, 0, len(p.levels))
	for _, l := range p.levels {
		texts = append(texts, [...]string{l.text, "+", "#", "{client}", "{user}", "{claim." + l.text + "}", "{" + l.text + "}"}[l.kind])
	}
	return strings.Join(slices.Clip(texts), "/")
}
