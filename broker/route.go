package broker

import (
	"errors"
	"math"
	"runtime/debug"

	"github.com/outcry-mqtt/outcry/broker/topic"
	"github.com/outcry-mqtt/outcry/broker/wire"
)

// route is what a shard knows about a topic: it is looked up once and then used until subscriptions change.
type route struct {
	topic     string
	policy    QueuePolicy
	reserved  bool // only the broker publishes to it
	shards    shardSet
	durable   shardSet // those of shards that have durable sessions
	groups    []*group
	audiences []*audience // of this shard
	paces     []*pace     // likewise
	version   uint64      // of the router, when these were looked up
	weight    int         // what it counts for among the shard's routeBytes
}

// What the shards remember of topics is bounded to a share of the memory that the program may take; a shard that has no
// room left forgets everything and looks it up anew. A topic that is forgotten before it comes again costs several times
// as much as one that is remembered, so there is room for a million in the memory of a usual server.
const (
	routeShare    = 32       // of the memory limit, all shards together
	minRouteBytes = 8 << 20  // of a shard, whatever the limit
	maxRouteBytes = 64 << 20 // of a shard, where there is no limit
)

// routeRoom is how many bytes each of so many shards may remember of topics.
func routeRoom(shards int) int {
	limit := debug.SetMemoryLimit(-1)
	if limit == math.MaxInt64 {
		return maxRouteBytes
	}
	return max(int(limit/routeShare)/shards, minRouteBytes)
}

var (
	errTopicText   = &wire.Error{Code: wire.MalformedPacket, Reason: "topic name is not UTF-8, or has U+0000 [MQTT-3.3.2-1]"}
	errTopicName   = &wire.Error{Code: wire.TopicNameInvalid, Reason: "topic name contains a wildcard [MQTT-3.3.2-2]"}
	errTopicLimits = &wire.Error{Code: wire.TopicNameInvalid, Reason: "topic name is longer or deeper than the server takes"}
)

// route finds a topic by its bytes, or an error that says why it is no topic name.
func (s *shard) route(name []byte) (*route, error) {
	if r := s.lastRoute; r != nil && r.topic == string(name) {
		return r, nil
	}
	if r := s.routes[string(name)]; r != nil {
		s.lastRoute = r
		return r, nil
	}
	text := string(name)
	switch err := topic.CheckName(text); {
	case errors.Is(err, topic.ErrEncoding):
		return nil, errTopicText
	case err != nil:
		return nil, errTopicName
	}
	if !s.b.limits.takesTopic(text) {
		return nil, errTopicLimits
	}
	return s.newRoute(text), nil
}

// routeOf finds a topic that is known to be valid.
func (s *shard) routeOf(name string) *route {
	if r := s.lastRoute; r != nil && r.topic == name {
		return r
	}
	if r := s.routes[name]; r != nil {
		s.lastRoute = r
		return r
	}
	return s.newRoute(name)
}

func (s *shard) newRoute(name string) *route {
	if s.routeBytes > s.routeRoom {
		s.routes, s.routeBytes, s.lastRoute = make(map[string]*route), 0, nil
	}
	r := &route{topic: name, reserved: reserved(name), version: ^uint64(0)}
	if s.b.policies != nil {
		r.policy = s.b.policies.QueuePolicy(name)
	}
	r.weight = r.size()
	s.routeBytes += r.weight
	s.routes[name] = r
	return r
}

// renewPolicies asks anew for the policies of all topics that the shard, or an alias of a client, knows.
func (s *shard) renewPolicies() {
	if s.b.policies == nil {
		return
	}
	renew := func(r *route) { r.policy = s.b.policies.QueuePolicy(r.topic) }
	for _, r := range s.routes {
		renew(r)
	}
	for _, c := range s.conns {
		if c == nil {
			continue
		}
		for _, r := range c.heard {
			if r != nil {
				renew(r)
			}
		}
	}
}

// interest makes sure that r knows who wants its topic. While nothing changes nothing is looked up, nor locked.
func (r *route) interest(s *shard) {
	if s.b.router.version.Load() != r.version {
		s.b.router.look(r, s.index)
		if n := r.size(); n > r.weight {
			s.routeBytes += n - r.weight
			r.weight = n
		}
	}
}

// size is roughly what the route takes in memory.
func (r *route) size() int {
	const overhead, each = 200, 8 // the record, its place in the map
	return overhead + len(r.topic) + each*(cap(r.groups)+cap(r.audiences)+cap(r.paces))
}

// isKept tells whether the topic's messages may be for durable sessions.
func (r *route) isKept() bool {
	if r.durable != 0 {
		return true
	}
	for _, g := range r.groups {
		if g.durable.Load() > 0 {
			return true
		}
	}
	return false
}

// clear forgets who wants the topic.
func (r *route) clear() {
	clear(r.groups)
	clear(r.audiences)
	clear(r.paces)
	r.shards, r.durable = 0, 0
	r.groups, r.audiences, r.paces = r.groups[:0], r.audiences[:0], r.paces[:0]
}

// meet takes note of an audience of the topic.
func (r *route) meet(a *audience, shard int) {
	r.shards |= 1 << a.shard
	if a.kept {
		r.durable |= 1 << a.shard
	}
	if int(a.shard) != shard {
		return
	}
	r.audiences = append(r.audiences, a)
	for p := a.paces(); p != nil; p = p.next {
		r.paces = append(r.paces, p)
	}
}
