package rules

import (
	"fmt"
	"slices"
	"strings"

	"github.com/outcry-mqtt/outcry/broker"
)

// Decision is what an Authorizer decided, and why.
type Decision struct {
	Allow  bool
	Path   string // of the rule that decided, as in Problem.Path: "rules[0]", "rooms[2].join[0]"; empty if none did
	Topics string // of that rule's topics, the one that matched, as it was written
	Reason string // a sentence for an operator, without a claim's value
}

// Explain decides as Authorize does, and says why. It is for tools and logs, not for the path of a message.
func (a *Authorizer) Explain(c *broker.Client, action broker.Action, topic string) Decision {
	s := a.current.Load()
	r, p := s.first(c, action, topic)
	if r == nil {
		return Decision{Reason: "no rule allows it" + s.nearest(c, action, topic)}
	}
	d := Decision{Allow: r.allow, Path: r.path, Topics: p.source}
	switch {
	case r.allow:
		d.Reason = fmt.Sprintf("%s allows it: %s for %s", r.path, p.source, r.audience())
	case p.covers(topic, c):
		d.Reason = fmt.Sprintf("%s denies it: %s for %s", r.path, p.source, r.audience())
	default:
		d.Reason = fmt.Sprintf("%s denies part of it: %s for %s", r.path, p.source, r.audience())
	}
	return d
}

// nearest says why the first rule that would allow the topic to somebody does not allow it to this client.
func (s *ruleset) nearest(c *broker.Client, action broker.Action, topic string) string {
	for i := range s.rules {
		r := &s.rules[i]
		if !r.allow || r.actions&actionOf(action) == 0 {
			continue
		}
		for j := range r.topics {
			p := &r.topics[j]
			if shape := p.shape(); shape.overlaps(topic, c) {
				return fmt.Sprintf("; %s is nearest, but %s", r.path, r.obstacle(p, &shape, c, topic))
			}
		}
	}
	return ""
}

// obstacle says why a rule whose topics overlap with topic does not decide about it.
func (r *rule) obstacle(p, shape *pattern, c *broker.Client, topic string) string {
	switch {
	case !r.isAbout(c.Identity):
		return "it is for " + r.audience()
	case !shape.covers(topic, c):
		return fmt.Sprintf("%s matches more than %s", topic, p.source)
	}
	return fmt.Sprintf("%s is not among %s", topic, p.spelled())
}

// audience says who a rule is about.
func (r *rule) audience() string {
	text := strings.Join(r.who.source, ", ")
	for i, claim := range r.claims {
		text += [...]string{" with ", " and "}[min(i, 1)] + claim.name + "=" + claim.value
	}
	return text
}

// spelled writes the pattern with its rooms replaced.
func (p *pattern) spelled() string {
	texts := make([]string, 0, len(p.levels))
	for _, l := range p.levels {
		texts = append(texts, [...]string{l.text, "+", "#", "{client}", "{user}", "{claim." + l.text + "}", "{" + l.text + "}"}[l.kind])
	}
	return strings.Join(slices.Clip(texts), "/")
}
