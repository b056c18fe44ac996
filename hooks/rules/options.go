package rules

import "github.com/outcry-mqtt/outcry/broker"

// Options are the rules and rooms of an Authorizer. The zero value denies everything.
type Options struct {
	Rules []Rule // evaluated first, in order
	Rooms []Room // evaluated after all rules, in order
	// ACLClaim is the claim with a client's own rules, evaluated between Rules and Rooms: a list of objects with
	// access, actions, topics, max_qos, retain and max_rate, as in the configuration. Empty: none.
	ACLClaim  string
	ClientIDs []ClientID // permitted client identifiers; empty: any
}

// Rule allows or denies actions on topics to clients.
type Rule struct {
	Allow   bool     // false: deny
	Actions []string // "publish", "subscribe"; empty: both
	// Clients that the rule applies to, any of: "*" (every client with a user name), "anonymous" (every client
	// without), "user:NAME", "claim:NAME=VALUE" (the claim is that value, or a list that contains it).
	Who    []string
	Claims map[string]string // only clients whose claims all have these values, or are lists that contain them
	// Topics are the rule's topic filters. A level may be a placeholder: {client}, {user} or {claim.NAME}. It stands
	// for the client's own value; a list claim stands for each of its members.
	Topics   []string
	MaxQoS   *byte // highest QoS that an allowing rule grants, for both actions; nil: 2
	NoRetain bool  // an allowing rule does not permit retained messages
	// MaxRate limits an allowed subscription to so many messages a second of each topic: always the newest, at QoS 0.
	// 0: no limit.
	MaxRate float64
}

// Room is a family of topics.
type Room struct {
	// Topics is a topic filter. One level may be a placeholder of any name; it stands for the room's name:
	// chat/{room}/#.
	Topics string
	Join   []string // subscribers, as in Rule.Who, or "claim:NAME": the claim is the room's name or lists it
	Speak  []string // publishers, likewise
	Queue  broker.QueuePolicy
	// MaxQoS, NoRetain and MaxRate are as in Rule.
	MaxQoS   *byte
	NoRetain bool
	MaxRate  float64
}

// ClientID permits client identifiers to clients.
type ClientID struct {
	Who []string // as Rule.Who
	// IDs are client identifiers. In them {user} and {claim.NAME} stand for the client's own value, a list for each
	// of its members, and * at the end for any text, even none.
	IDs []string
}

// Default returns Outcry's initial rules: user ticker publishes to ticker/#, user machine to machine/#, and every
// user reads both. chat/{room}/# is open to users whose claim "rooms" lists the room. A user publishes below sensors/
// and its own name, and every user reads that. $SYS/# is for users whose claim "admin" is true, because it reveals
// the state of all clients.
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
