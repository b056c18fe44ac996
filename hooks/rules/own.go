package rules

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"weak"

	"github.com/outcry-mqtt/outcry/broker"
)

// maxOwnTopics bounds the topics of a client's own rules: each decision evaluates them.
const maxOwnTopics = 256

// ownRules caches the compiled rules of clients' claims, as long as an identity is in use.
type ownRules struct {
	compiled sync.Map // of *ownSet, by weak.Pointer[broker.Identity]
}

// ownSet is the compiled own rules of an identity. It does not change.
type ownSet struct {
	claim string // the claim they came from
	rules []rule
	err   error // set if they are invalid
}

// ownOf returns a client's own rules. They are compiled once for each identity.
func (s *ruleset) ownOf(id *broker.Identity) ([]rule, error) {
	if s.aclClaim == "" {
		return nil, nil
	}
	value, found := id.Claims[s.aclClaim]
	if !found {
		return nil, nil
	}
	key := weak.Make(id)
	known, _ := s.own.compiled.Load(key)
	set, _ := known.(*ownSet)
	if set == nil || set.claim != s.aclClaim {
		set = compileOwn(s.aclClaim, value)
		if _, again := s.own.compiled.Swap(key, set); !again {
			own := s.own // keeping s would keep all of it with the identity
			runtime.AddCleanup(id, func(k weak.Pointer[broker.Identity]) { own.compiled.Delete(k) }, key)
		}
	}
	return set.rules, set.err
}

// compileOwn compiles a claim completely or fails: an overlooked part could have been a limit.
func compileOwn(claim string, value any) *ownSet {
	set := &ownSet{claim: claim}
	list, ok := value.([]any)
	if !ok {
		set.err = fmt.Errorf("the claim %s is not a list of rules", claim)
		return set
	}
	topics := 0
	for i, entry := range list {
		path := fmt.Sprintf("claims.%s[%d]", claim, i)
		written, err := readOwn(entry)
		if err != nil {
			return &ownSet{claim: claim, err: fmt.Errorf("%s: %w", path, err)}
		}
		if topics += len(written.Topics); topics > maxOwnTopics {
			return &ownSet{claim: claim, err: fmt.Errorf("the claim %s has more than %d topics", claim, maxOwnTopics)}
		}
		var problems Problems
		r := compileRule(path, written, &problems)
		if len(problems) > 0 {
			return &ownSet{claim: claim, err: problems[:1]}
		}
		r.who = who{source: []string{"the client"}, authenticated: true, anonymous: true}
		set.rules = append(set.rules, r)
	}
	return set
}

// readOwn decodes one rule.
func readOwn(entry any) (*Rule, error) {
	object, ok := entry.(map[string]any)
	if !ok {
		return nil, errors.New("is not an object with access, actions and topics")
	}
	r := &Rule{Who: []string{"*"}} // a placeholder for the client itself
	ok = true
	for name, value := range object {
		switch name {
		case "access":
			r.Allow = value == "allow"
			ok = r.Allow || value == "deny"
		case "actions":
			r.Actions, ok = texts(value)
		case "topics":
			r.Topics, ok = texts(value)
		case "max_qos":
			r.MaxQoS, ok = qos(value)
		case "retain":
			var retain bool
			retain, ok = value.(bool)
			r.NoRetain = !retain
		case "max_rate":
			r.MaxRate, ok = number(value)
		default:
			return nil, fmt.Errorf("unknown key %q; known are access, actions, topics, max_qos, retain and max_rate", truncate(name))
		}
		if !ok {
			return nil, fmt.Errorf("%s has an invalid value", name)
		}
	}
	if object["access"] == nil {
		return nil, errors.New("has no access; write allow or deny")
	}
	return r, nil
}

// texts decodes a list of at least one text.
func texts(value any) (list []string, ok bool) {
	switch v := value.(type) {
	case []string:
		list = slices.Clone(v)
	case []any:
		for _, member := range v {
			text, isText := member.(string)
			if !isText {
				return nil, false
			}
			list = append(list, text)
		}
	}
	return list, len(list) > 0
}

// qos decodes a number from 0 to 2.
func qos(value any) (*byte, bool) {
	switch value.(type) {
	case int, int64, float64, json.Number:
	default:
		return nil, false
	}
	for n := range byte(3) {
		if formatsAs(value, string('0'+rune(n))) {
			return &n, true
		}
	}
	return nil, false
}

// number decodes a number above 0.
func number(value any) (n float64, ok bool) {
	switch v := value.(type) {
	case float64:
		n = v
	case int:
		n = float64(v)
	case int64:
		n = float64(v)
	case json.Number:
		n, _ = v.Float64()
	}
	return n, n > 0
}

// truncate shortens a client's text for a log.
func truncate(text string) string {
	const most = 40
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
