package broker_test

import (
	"fmt"
	"slices"
	"strings"
)

// A message to a shared subscription goes to one member. Which one is not known before it has come, so it is a candidate in
// each session that may have it. Candidates of sessions that were not sent it go; the last one must not.

// modelShares are shared subscriptions of which no two match one topic; nothing else matches their topics.
var modelShares = []string{"$share/g/$jobs/1", "$share/g/$jobs/2"}

var modelJobs = []string{"$jobs/1", "$jobs/2"}

// isShare tells whether a filter is a shared subscription.
func isShare(filter string) bool { return strings.HasPrefix(filter, "$share/") }

// covers tells whether a subscription is for a topic.
func covers(filter, topic string) bool {
	if isShare(filter) {
		filter = strings.SplitN(filter, "/", 3)[2]
	}
	return matches(filter, topic)
}

// share is one message on its way to a member of a group.
type share struct {
	a          *attempt
	filter     string
	candidates map[*account]*item
	got        bool // by a client
	optional   bool // it need not come
}

// members are the accounts that have a shared subscription; those who are online are chosen, if there are any.
func (w *world) members(filter string, qos byte) (all []*account) {
	online := 0
	for _, s := range w.accounts {
		if s.subs[filter] == nil || s.left {
			continue
		}
		if all = append(all, s); s.online {
			online++
		}
	}
	if online == 0 && qos > 0 {
		return all
	}
	return slices.DeleteFunc(all, func(s *account) bool { return !s.online })
}

// spreadShares gives a message to the groups that want it.
func (w *world) spreadShares(a *attempt) {
	for _, filter := range modelShares {
		if covers(filter, a.topic) {
			w.share(&share{a: a, filter: filter, candidates: map[*account]*item{}}, a.qos)
		}
	}
}

// share makes the message a candidate of every member that may be chosen.
func (w *world) share(sh *share, qos byte) {
	for _, s := range w.members(sh.filter, qos) {
		if sh.candidates[s] != nil {
			continue
		}
		sub := s.subs[sh.filter]
		it := &item{a: sh.a, qos: min(qos, sub.qos), ghost: true, loose: true, share: sh}
		if sub.id > 0 {
			it.ids = []int{sub.id}
		}
		sh.candidates[s] = it
		if it.qos == 0 {
			s.due = append(s.due, it)
		} else {
			s.items = append(s.items, it)
		}
	}
}

// arrived notes who was chosen.
func (sh *share) arrived(at *account) {
	if sh == nil || sh.got {
		return
	}
	sh.got = true
	for s, it := range sh.candidates {
		if s == at {
			continue
		}
		other := func(each *item) bool { return each == it }
		s.items, s.due = slices.DeleteFunc(s.items, other), slices.DeleteFunc(s.due, other)
	}
	sh.candidates = nil
}

// gone notes that a session was not chosen, or has nothing more of it.
func (sh *share) gone(s *account) error {
	if sh == nil || sh.got || sh.candidates[s] == nil {
		return nil
	}
	if delete(sh.candidates, s); len(sh.candidates) == 0 && !sh.optional {
		return fmt.Errorf("no member of %s got %s", sh.filter, sh.a.payload)
	}
	return nil
}

// settleShares drops the candidates among items that were not sent to a client that could have taken them.
func (s *account) settleShares(items []*item) error {
	for _, it := range items {
		if !it.here && it.state == waiting {
			if err := it.share.gone(s); err != nil {
				return fmt.Errorf("%s did not get it, and %w", s.name, err)
			}
		}
	}
	return nil
}

// redeliver gives the members that are left what the session leaves behind (MQTT 5 4.8.2), but for what was sent with QoS 2
// [MQTT-4.8.2-5]. lost tells that it may be lost on the way.
func (w *world) redeliver(s *account, lost bool) {
	for _, it := range slices.Concat(s.items, s.due) {
		sh := it.share
		uncertain := lost || it.dup == maybe || it.either || it.torn
		switch {
		case sh == nil:
		case it.state == waiting && !sh.got:
			delete(sh.candidates, s)
			sh.optional = sh.optional || uncertain || len(w.members(sh.filter, sh.a.qos)) == 0 || it.qos == 0
			w.share(sh, sh.a.qos)
		case it.state == waiting && it.loose:
		case (it.state == got || it.state == waiting) && it.qos == 1:
			again := &share{a: sh.a, filter: sh.filter, candidates: map[*account]*item{}, optional: sh.optional || uncertain || it.ghost}
			w.share(again, sh.a.qos)
		}
	}
}

// vacate notes that nobody is left in the groups that a session was in: what its members had is redelivered to nobody.
func (w *world) vacate() {
	for _, s := range w.accounts {
		for _, it := range s.items {
			if it.share != nil && !w.anyMember(it.share.filter) {
				it.share.optional = true
			}
		}
	}
}

func (w *world) anyMember(filter string) bool {
	for _, s := range w.accounts {
		if s.subs[filter] != nil && !s.left {
			return true
		}
	}
	return false
}
