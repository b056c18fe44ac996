package rules

import (
	"fmt"
	"slices"
	"strings"

	"github.com/outcry-mqtt/outcry/broker"
)

// who is a set of clients.
type who struct {
	source        []string
	authenticated bool
	anonymous     bool
	users         []string
	claims        []claimIs
}

// everyone is for a rule whose topics alone decide.
func everyone(source string) who {
	return who{source: []string{source}, authenticated: true, anonymous: true}
}

func (w *who) includes(id *broker.Identity) bool {
	if id.User == "" && w.anonymous {
		return true
	}
	if id.User != "" && (w.authenticated || slices.Contains(w.users, id.User)) {
		return true
	}
	for i := range w.claims {
		if w.claims[i].holds(id.Claims) {
			return true
		}
	}
	return false
}

const whoForms = "*, anonymous, user:NAME, claim:NAME=VALUE"

// add adds the clients of an entry of Who, Join or Speak.
func (w *who) add(entry string) *fault {
	kind, value, _ := strings.Cut(entry, ":")
	switch {
	case entry == "*":
		w.authenticated = true
	case entry == "anonymous":
		w.anonymous = true
	case kind == "user" && value != "":
		w.users = append(w.users, value)
	case kind == "claim":
		return w.addClaim(entry, value)
	default:
		return unknownWho(entry)
	}
	w.source = append(w.source, entry)
	return nil
}

func (w *who) addClaim(entry, condition string) *fault {
	name, value, _ := strings.Cut(condition, "=")
	if name == "" || value == "" {
		return &fault{fmt.Sprintf("%q has no claim name or value", entry),
			"write claim:NAME=VALUE; for a claim with a list of names write {claim.NAME} in a rule's topics, or claim:NAME in a room"}
	}
	w.claims = append(w.claims, claimIs{name, value})
	w.source = append(w.source, entry)
	return nil
}

func unknownWho(entry string) *fault {
	f := &fault{fmt.Sprintf("%q matches no client", entry), "write one of " + whoForms}
	if entry != "" && !strings.Contains(entry, ":") {
		f.hint = fmt.Sprintf("for the user %s write user:%s", entry, entry)
	}
	return f
}

// memberClaim returns NAME of the entry claim:NAME, the claim that lists a client's rooms.
func memberClaim(entry string) (name string, ok bool) {
	name, ok = strings.CutPrefix(entry, "claim:")
	return name, ok && name != "" && !strings.Contains(name, "=")
}
