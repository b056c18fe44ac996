package broker

import (
	"errors"

	"github.com/outcry-mqtt/outcry/broker/topic"
	"github.com/outcry-mqtt/outcry/internal/wire"
)

// topicCache holds a shard's routes by topic. Limits.MaxTopicCacheBytes limits it: a shard without room drops all routes and
// searches again. A search costs several times as much as a hit, so the default has room for a million topics on a usual
// server.
type topicCache struct {
	limits   *Limits
	policies TopicPolicy // nil: every topic drops the oldest

	routes map[string]*route
	last   *route // last result: most messages have the topic of the message before; nil: none
	bytes  int    // of routes, estimated
	room   int    // limit of bytes

	// Scratch space of searches.
	settled *route    // valid for the packet being handled; nil: none
	joined  []*groups // empty between searches
	matched route     // result of another shard's search, for the message being delivered
}

const minRouteBytes = 64 << 10 // lower bound of a shard, even above its share of the limit

// routeRoom returns the limit of each shard's topic cache in bytes, for the given number of shards.
func (l *Limits) routeRoom(shards int) int { return max(l.MaxTopicCacheBytes/shards, minRouteBytes) }

func newTopicCache(b *Broker, shards int) topicCache {
	return topicCache{limits: &b.limits, policies: b.hooks.policies, routes: make(map[string]*route), room: b.limits.routeRoom(shards)}
}

var (
	errTopicText   = &wire.Error{Code: wire.MalformedPacket, Reason: "topic name is not UTF-8, or has U+0000 [MQTT-3.3.2-1]"}
	errTopicName   = &wire.Error{Code: wire.TopicNameInvalid, Reason: "topic name contains a wildcard [MQTT-3.3.2-2]"}
	errTopicChars  = &wire.Error{Code: wire.MalformedPacket, Reason: "topic name has a control character or a non-character (MQTT 5 1.5.4)"}
	errTopicLimits = &wire.Error{Code: wire.TopicNameInvalid, Reason: "topic name is too long or has too many levels"}
)

// find returns the route of a topic, or an error if the topic name is invalid.
func (t *topicCache) find(name []byte) (*route, error) {
	if r := t.last; r != nil && r.topic == string(name) {
		return r, nil
	}
	if r := t.routes[string(name)]; r != nil {
		t.last = r
		return r, nil
	}
	text := string(name)
	switch err := topic.CheckName(text); {
	case errors.Is(err, topic.ErrEncoding):
		return nil, errTopicText
	case err != nil:
		return nil, errTopicName
	case t.limits.refuses(text):
		return nil, errTopicChars
	}
	if !t.limits.takesTopic(text) {
		return nil, errTopicLimits
	}
	return t.add(text), nil
}

// of returns the route of a valid topic.
func (t *topicCache) of(name string) *route {
	if r := t.last; r != nil && r.topic == name {
		return r
	}
	if r := t.routes[name]; r != nil {
		t.last = r
		return r
	}
	return t.add(name)
}

func (t *topicCache) add(name string) *route {
	if t.bytes > t.room {
		t.routes, t.bytes, t.last = make(map[string]*route), 0, nil
	}
	r := &route{topic: name, reserved: reserved(name), version: unknown}
	t.renew(r)
	t.weigh(r)
	t.routes[name] = r
	return r
}

// weigh updates the bytes of a route that may have grown.
func (t *topicCache) weigh(r *route) {
	if n := r.size(); n > r.weight {
		t.bytes += n - r.weight
		r.weight = n
	}
}

// renew asks for the policy of a topic.
func (t *topicCache) renew(r *route) {
	if t.policies != nil {
		r.policy = t.policies.QueuePolicy(r.topic)
	}
}

// renewPolicies asks again for the policies of all topics in the shard's cache and of the clients' topic aliases.
func (s *shard) renewPolicies() {
	if s.topics.policies == nil {
		return
	}
	for _, r := range s.topics.routes {
		s.topics.renew(r)
	}
	for _, c := range s.conns.slots {
		if c == nil {
			continue
		}
		for _, r := range c.input.aliases {
			if r != nil {
				s.topics.renew(r)
			}
		}
	}
}
