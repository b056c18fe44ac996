package rules

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/outcry-mqtt/outcry/broker"
)

// ruleset is compiled Options. It does not change.
type ruleset struct {
	rules    []rule // from Options.Rules
	rooms    []rule // from Options.Rooms
	aclClaim string
	own      *ownRules // clients' own, from aclClaim
	ids      []idRule
	queues   []queue
}

// rule is a compiled rule, or one generated from a room.
type rule struct {
	path    string
	grant   broker.Grant // zero: the rule denies
	actions actions
	who     who
	claims  []claimIs
	topics  []pattern
}

// queue is the policy of a room's topics.
type queue struct {
	topics pattern
	policy broker.QueuePolicy
}

// actions is a set of actions.
type actions uint8

const (
	publish actions = 1 << iota
	subscribe
)

func actionOf(a broker.Action) actions {
	switch a {
	case broker.Publish:
		return publish
	case broker.Subscribe, broker.Deliver:
		return subscribe
	}
	return 0
}

// Check returns all problems of o, in its order; none if New accepts it.
func Check(o Options) Problems {
	_, problems := compile(o)
	return problems
}

func compile(o Options) (*ruleset, Problems) {
	var problems Problems
	s := &ruleset{aclClaim: o.ACLClaim}
	for i := range o.Rules {
		s.rules = append(s.rules, compileRule(fmt.Sprintf("rules[%d]", i), &o.Rules[i], &problems))
	}
	for i := range o.Rooms {
		s.addRoom(fmt.Sprintf("rooms[%d]", i), &o.Rooms[i], &problems)
	}
	for i := range o.ClientIDs {
		s.ids = append(s.ids, compileIDs(fmt.Sprintf("client_ids[%d]", i), &o.ClientIDs[i], &problems))
	}
	return s, problems
}

func compileRule(path string, from *Rule, problems *Problems) rule {
	r := rule{path: path, actions: compileActions(path, from.Actions, problems), who: compileWho(path, from.Who, problems)}
	if from.Allow {
		r.grant = compileGrant(path, from.MaxQoS, from.NoRetain, from.MaxRate, problems)
	} else if from.MaxQoS != nil || from.NoRetain || from.MaxRate != 0 {
		problems.report(path+".access", &fault{"a rule that denies has limits", "remove max_qos, retain and max_rate, or write access: allow"})
	}
	if from.MaxRate != 0 && r.actions == publish {
		problems.report(path+".max_rate", &fault{"limits subscriptions, but the rule applies to publishing only", "remove it, or the actions"})
	}
	for _, name := range slices.Sorted(maps.Keys(from.Claims)) {
		if name == "" || from.Claims[name] == "" {
			problems.report(path+".claims."+name, &fault{"has no name or value", "write NAME: VALUE"})
		}
		r.claims = append(r.claims, claimIs{name, from.Claims[name]})
	}
	if len(from.Topics) == 0 {
		problems.report(path+".topics", &fault{"is empty", "write topics: [\"#\"] for all but those of the server"})
	}
	for i, source := range from.Topics {
		p, f := parsePattern(source)
		if f != nil {
			problems.report(fmt.Sprintf("%s.topics[%d]", path, i), f)
		}
		r.topics = append(r.topics, p)
	}
	return r
}

func compileWho(path string, entries []string, problems *Problems) (w who) {
	if len(entries) == 0 {
		problems.report(path+".who", &fault{"is empty", "write who: [\"*\"] for every client with a user name"})
	}
	for i, entry := range entries {
		if f := w.add(entry); f != nil {
			problems.report(fmt.Sprintf("%s.who[%d]", path, i), f)
		}
	}
	return w
}

func compileGrant(path string, maxQoS *byte, noRetain bool, maxRate float64, problems *Problems) broker.Grant {
	g := broker.Grant{Allowed: true, MaxQoS: 2, Retain: !noRetain, MaxRate: maxRate}
	if maxRate < 0 || math.IsNaN(maxRate) || math.IsInf(maxRate, 0) {
		problems.report(path+".max_rate", &fault{fmt.Sprintf("%v is not a rate", maxRate), "write messages a second, such as 2 or 0.5"})
	}
	if maxQoS != nil {
		g.MaxQoS = *maxQoS
	}
	if g.MaxQoS > 2 {
		problems.report(path+".max_qos", &fault{fmt.Sprintf("%d is not a QoS", g.MaxQoS), "write 0, 1 or 2"})
	}
	return g
}

func compileActions(path string, names []string, problems *Problems) actions {
	if len(names) == 0 {
		return publish | subscribe
	}
	var set actions
	for i, name := range names {
		switch name {
		case "publish":
			set |= publish
		case "subscribe":
			set |= subscribe
		default:
			problems.report(fmt.Sprintf("%s.actions[%d]", path, i),
				&fault{fmt.Sprintf("%q is not an action", name), "write publish or subscribe, or leave actions out for both"})
		}
	}
	return set
}

// addRoom adds the rules and the queue policy of a room.
func (s *ruleset) addRoom(path string, from *Room, problems *Problems) {
	topics, f := parseRoom(from.Topics)
	if f != nil {
		problems.report(path+".topics", f)
	}
	g := compileGrant(path, from.MaxQoS, from.NoRetain, from.MaxRate, problems)
	s.addGrants(rule{path: path + ".join", grant: g, actions: subscribe}, &topics, from.Join, problems)
	s.addGrants(rule{path: path + ".speak", grant: g, actions: publish}, &topics, from.Speak, problems)
	if from.Queue > broker.Disconnect {
		problems.report(path+".queue", &fault{"is not a policy", "write drop-oldest, conflate or disconnect"})
	}
	s.queues = append(s.queues, queue{topics.with(level{kind: plus}), from.Queue})
}

// addGrants adds the rules of Join or Speak, copies of like: one for each claim:NAME, whose rooms are in its topics,
// and one for all other entries, which apply to any room.
func (s *ruleset) addGrants(like rule, topics *pattern, entries []string, problems *Problems) {
	anyRoom := like
	anyRoom.topics = []pattern{topics.with(level{kind: plus})}
	for i, entry := range entries {
		entryPath := fmt.Sprintf("%s[%d]", like.path, i)
		claim, ok := memberClaim(entry)
		if !ok {
			if f := anyRoom.who.add(entry); f != nil {
				problems.report(entryPath, f)
			}
			continue
		}
		if len(topics.levels) > 0 && !topics.hasRoom() {
			problems.report(entryPath, &fault{fmt.Sprintf("%q has no {room} to compare with the claim", topics.source),
				"name the room in topics: chat/{room}/#"})
		}
		members := like
		members.path, members.who = entryPath, everyone(entry)
		members.topics = []pattern{topics.with(level{kind: claimed, text: claim})}
		s.rooms = append(s.rooms, members)
	}
	if len(anyRoom.who.source) > 0 {
		s.rooms = append(s.rooms, anyRoom)
	}
}
