package rules

import "github.com/outcry-mqtt/outcry/broker"

// Options are the rules and rooms of an Authorizer. The zero value denies everything.
type Options struct {
	Rules []Rule // asked first, in their order
	Rooms []Room // asked after all rules, in their order
	// ACLClaim is the claim that may have rules of the client's own, which are asked between Rules and Rooms: a list of
	// objects with access, actions, topics, max_qos, retain and max_rate, as in the configuration. Empty: there are none.
	ACLClaim  string
	ClientIDs []ClientID // who may use which client identifier; empty: everybody any
}

// Rule allows or denies something to somebody.
type Rule struct {
	Allow   bool     // false: deny
	Actions []string // "publish", "subscribe"; empty: both
	// Who the rule is about, any of: "*" (every client with a user name), "anonymous" (every client without),
	// "user:NAME", "claim:NAME=VALUE" (whose claim is that value, or a list with it).
	Who    []string
	Claims map[string]string // and only those whose claims all have these values, or are lists with them
	// Topics are the topic filters that the rule is about. A level may be a placeholder: {client}, {user} or
	// {claim.NAME}, which stands for the client's own value; a claim that is a list stands for each of its members.
	Topics   []string
	MaxQoS   *byte // the highest QoS that a rule that allows gives, for both actions; nil: 2
	NoRetain bool  // a rule that allows does not let messages be retained
	// MaxRate is how many messages a second of each topic a subscription is sent that a rule allows: always the newest, with
	// QoS 0. 0: all of them.
	MaxRate float64
}

// Room is a family of topics.
type Room struct {
	// Topics is a topic filter in which one level may be a placeholder of any name; it stands for the room's name:
	// chat/{room}/#.
	Topics string
	Join   []string // who may subscribe, as Rule.Who, or "claim:NAME": whose claim is the room's name or lists it
	Speak  []string // who may publish, likewise
	Queue  broker.QueuePolicy
	// MaxQoS, NoRetain and MaxRate are as those of a Rule.
	MaxQoS   *byte
	NoRetain bool
	MaxRate  float64
}

// ClientID says who may use some client identifiers.
type ClientID struct {
	Who []string // as Rule.Who
	// IDs are client identifiers. In them {user} and {claim.NAME} stand for the client's own value, a list for each of
	// its members, and * at the end for any text, none included.
	IDs []string
}

// Default returns the rules that Outcry starts with: the user ticker speaks on ticker/# and the user machine on
// machine/#, every user hears both, chat/{room}/# is open to those whose claim "rooms" lists the room, a user speaks
// below sensors/ and its own name and every user hears it, and $SYS/# is for those whose claim "admin" is true, because it
// tells about everybody.
func Default() Options {
	return Options{
		Rules: []Rule{
			{Allow: true, Actions: []string{"subscribe"}, Who: []string{"claim:admin=true"}, Topics: []string{"$SYS/#"}},
			{Allow: true, Actions: []string{"publish"}, Who: []string{"*"}, Topics: []string{"sensors/{user}/#"}},
		},
		Rooms: []Room{
			{Topics: "ticker/#", Join: []string{"*"}, Speak: []string{"user:ticker"}, Queue: broker.Conflate},
			{Topics: "machine/#", Join: []string{"*"}, Speak: []string{"user:machine"}, Queue: broker.Conflate},
			{Topics: "chat/{room}/#", Join: []string{"claim:rooms"}, Speak: []string{"claim:rooms"}},
			{Topics: "sensors/#", Join: []string{"*"}},
		},
	}
}
