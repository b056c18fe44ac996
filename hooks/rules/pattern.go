package rules

import (
	"strings"

	"github.com/outcry-mqtt/outcry/broker"
)

// pattern is a topic filter with placeholders, compiled by newPattern.
type pattern struct {
	source string
	levels []level
	// start holds the literal levels before the first other one, joined by slashes: it alone rules out most topics.
	start    string
	literals int // number of literals
}

func newPattern(source string, levels []level) pattern {
	if len(levels) == 2 && levels[0].kind == plus && levels[1].kind == hash {
		levels = levels[1:] // # is the same as +/#, except for a comparison by levels
	}
	p := pattern{source: source, levels: levels}
	for _, l := range levels {
		if l.kind != literal {
			break
		}
		if p.literals++; p.literals > 1 {
			p.start += "/"
		}
		p.start += l.text
	}
	return p
}

// level is one level of a pattern.
type level struct {
	kind kind
	text string // of a literal: its text; of a claim or room: its name
}

type kind uint8

const (
	literal  kind = iota
	plus          // +
	hash          // #, always the last
	clientID      // {client}
	userName      // {user}
	claimed       // {claim.NAME}
	room          // {NAME} of a room; replaced before matching
)

// covers reports whether the pattern matches every topic that filter matches. A topic name is a filter that matches
// only itself, so covers also matches names. It does not allocate.
func (p *pattern) covers(filter string, c *broker.Client) bool {
	rest, more, ok := p.behindStart(filter)
	if !ok {
		return false
	}
	var text string
	for i := p.literals; i < len(p.levels); i++ {
		l := &p.levels[i]
		if l.kind == hash {
			return i > 0 || !isServer(filter)
		}
		if !more {
			return false
		}
		text, rest, more = cut(rest)
		if !l.covers(text, i == 0, c) {
			return false
		}
	}
	return !more
}

// behindStart returns the levels of filter behind the pattern's start, if it begins with that. more is false if there
// are none.
func (p *pattern) behindStart(filter string) (rest string, more, ok bool) {
	if p.literals == 0 {
		return filter, true, true
	}
	if !strings.HasPrefix(filter, p.start) {
		return "", false, false
	}
	rest = filter[len(p.start):]
	if rest == "" {
		return "", false, true
	}
	return rest[1:], true, rest[0] == '/'
}

// overlaps reports whether the pattern matches a topic that filter matches.
func (p *pattern) overlaps(filter string, c *broker.Client) bool {
	rest, more := filter, true
	var text string
	for i := range p.levels {
		l := &p.levels[i]
		if l.kind == hash {
			return i > 0 || !isServer(filter)
		}
		if !more {
			return false
		}
		text, rest, more = cut(rest)
		switch text {
		case "#":
			return p.possibleFrom(i, c)
		case "+":
			if !l.possible(i == 0, c) {
				return false
			}
		default:
			if !l.covers(text, i == 0, c) {
				return false
			}
		}
	}
	return !more || rest == "#" // a/# matches a, too [MQTT 5 section 4.7.1.2]
}

// covers reports whether the level matches a filter's level and everything it matches.
func (l *level) covers(text string, first bool, c *broker.Client) bool {
	switch l.kind {
	case literal:
		return text == l.text
	case plus, room:
		return text != "#" && !(first && isServer(text))
	case clientID:
		return c.ID == text && isLevel(text, first)
	case userName:
		return c.Identity.User == text && isLevel(text, first)
	case claimed:
		return isLevel(text, first) && contains(c.Identity.Claims[l.text], text)
	}
	return false
}

// possible reports whether the level matches something that a wildcard in the same place matches.
func (l *level) possible(first bool, c *broker.Client) bool {
	switch l.kind {
	case literal:
		return !(first && isServer(l.text))
	case clientID:
		return isLevel(c.ID, first)
	case userName:
		return isLevel(c.Identity.User, first)
	case claimed:
		return hasLevel(c.Identity.Claims[l.text], first)
	}
	return true
}

func (p *pattern) possibleFrom(i int, c *broker.Client) bool {
	for ; i < len(p.levels); i++ {
		if !p.levels[i].possible(i == 0, c) {
			return false
		}
	}
	return true
}

// with returns the pattern with the room's placeholder replaced.
func (p *pattern) with(replacement level) pattern {
	levels := make([]level, len(p.levels))
	for i, l := range p.levels {
		if l.kind == room {
			l = replacement
		}
		levels[i] = l
	}
	return newPattern(p.source, levels)
}

// shape returns the pattern with a wildcard for every placeholder.
func (p *pattern) shape() pattern {
	levels := make([]level, len(p.levels))
	for i, l := range p.levels {
		if l.kind != literal && l.kind != hash {
			l = level{kind: plus}
		}
		levels[i] = l
	}
	return newPattern(p.source, levels)
}

func (p *pattern) hasRoom() bool {
	for _, l := range p.levels {
		if l.kind == room {
			return true
		}
	}
	return false
}

// cut returns the first level and the rest. It is a faster strings.Cut for a slash.
func cut(filter string) (text, rest string, more bool) {
	if i := strings.IndexByte(filter, '/'); i >= 0 {
		return filter[:i], filter[i+1:], true
	}
	return filter, "", false
}

// isServer reports whether a topic is one of the server's, which no wildcard at the first level matches
// [MQTT-4.7.2-1].
func isServer(topic string) bool { return topic != "" && topic[0] == '$' }
