// Package topic checks topic names and filters (MQTT 4.7) and provides trees that match one against the other. It
// knows no subscribers and no messages.
package topic

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// MaxBytes is the longest topic name or filter that the wire can carry (MQTT 1.5.4).
const MaxBytes = 65535

// Reasons to refuse a topic name or filter.
var (
	ErrEmpty     = errors.New("topic is empty [MQTT-4.7.3-1]")
	ErrTooLong   = errors.New("topic is longer than 65535 bytes [MQTT-4.7.3-3]")
	ErrEncoding  = errors.New("topic is not well-formed UTF-8 without U+0000 [MQTT-4.7.3-2]")
	ErrWildcard  = errors.New("topic name contains a wildcard [MQTT-3.3.2-2]")
	ErrHash      = errors.New("# does not stand alone in the last level [MQTT-4.7.1-1]")
	ErrPlus      = errors.New("+ does not stand alone in its level [MQTT-4.7.1-2]")
	ErrShareName = errors.New("share name is empty or contains a wildcard [MQTT-4.8.2-1]")
	ErrShare     = errors.New("$share is not followed by a share name and a filter [MQTT-4.8.2-2]")
)

// CheckName returns the reason why s is no valid topic name, or nil.
func CheckName(s string) error {
	if err := checkText(s); err != nil {
		return err
	}
	if strings.ContainsAny(s, "+#") {
		return ErrWildcard
	}
	return nil
}

// CheckFilter returns the reason why s is no valid topic filter, or nil. A shared subscription's filter is checked
// without its prefix, see SplitShare.
func CheckFilter(s string) error {
	if err := checkText(s); err != nil {
		return err
	}
	for level, rest, more := strings.Cut(s, "/"); ; level, rest, more = strings.Cut(rest, "/") {
		if strings.Contains(level, "#") && (level != "#" || more) {
			return ErrHash
		}
		if strings.Contains(level, "+") && level != "+" {
			return ErrPlus
		}
		if !more {
			return nil
		}
	}
}

func checkText(s string) error {
	switch {
	case s == "":
		return ErrEmpty
	case len(s) > MaxBytes:
		return ErrTooLong
	case strings.IndexByte(s, 0) >= 0 || !utf8.ValidString(s):
		return ErrEncoding
	}
	return nil
}

// JoinShare is the filter of a shared subscription, or the filter alone if name is empty. SplitShare takes it apart.
func JoinShare(name, filter string) string {
	if name == "" {
		return filter
	}
	return "$share/" + name + "/" + filter
}

// SplitShare splits "$share/{name}/{filter}". For any other filter name is empty and rest is the filter itself.
// An error is ErrShareName or ErrShare; rest is not checked otherwise.
func SplitShare(filter string) (name, rest string, err error) {
	after, shared := strings.CutPrefix(filter, "$share/")
	if !shared {
		if filter == "$share" {
			return "", "", ErrShare
		}
		return "", filter, nil
	}
	name, rest, more := strings.Cut(after, "/")
	if !more || rest == "" {
		return "", "", ErrShare
	}
	if name == "" || strings.ContainsAny(name, "+#") {
		return "", "", ErrShareName
	}
	return name, rest, nil
}

// Levels counts the levels of a name or filter.
func Levels(s string) int { return strings.Count(s, "/") + 1 }

// HasWildcard reports whether a filter can match more than one name.
func HasWildcard(filter string) bool { return strings.ContainsAny(filter, "+#") }

// Match reports whether a valid filter matches a valid name. A wildcard in the first level does not match a name that
// begins with $ [MQTT-4.7.2-1].
func Match(filter, name string) bool {
	if name != "" && name[0] == '$' && filter != "" && (filter[0] == '+' || filter[0] == '#') {
		return false
	}
	for {
		if filter == "#" {
			return true
		}
		f, frest, fmore := strings.Cut(filter, "/")
		n, nrest, nmore := strings.Cut(name, "/")
		if f != "+" && f != n {
			return false
		}
		if !nmore {
			return !fmore || frest == "#"
		}
		if !fmore {
			return false
		}
		filter, name = frest, nrest
	}
}

// HasControls tells whether s has a code point that MQTT advises against and lets a receiver refuse; see IsControl.
func HasControls(s string) bool { return strings.ContainsFunc(s, IsControl) }

// IsControl tells whether r is a control character (U+0000 to U+001F, U+007F to U+009F) or a non-character of Unicode
// (U+FDD0 to U+FDEF, and the last two code points of each plane). Clients that check what they receive close their
// connection when they get a topic with one (MQTT 5 1.5.4, MQTT 3.1.1 1.5.3).
func IsControl(r rune) bool {
	switch {
	case r < 0x20, r >= 0x7F && r <= 0x9F:
		return true
	case r < 0xFDD0:
		return false
	}
	return r <= 0xFDEF || r&0xFFFE == 0xFFFE
}

// first returns the first level of the rest of a name or filter.
func first(rest string) string {
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		return rest[:i]
	}
	return rest
}

// untilWildcard returns the length of the levels before the first wildcard, without the last "/".
func untilWildcard(filter string) int {
	for i := 0; i < len(filter); i++ {
		if c := filter[i]; (c == '+' || c == '#') && (i == 0 || filter[i-1] == '/') {
			return max(i-1, 0)
		}
	}
	return len(filter)
}

// commonLevels returns the length of the leading levels that a and b share, without the last "/".
func commonLevels(a, b string) (n int) {
	for i := 0; ; i++ {
		endA, endB := i == len(a), i == len(b)
		switch {
		case (endA || a[i] == '/') && (endB || b[i] == '/'):
			n = i
		case endA, endB, a[i] != b[i]:
			return n
		}
		if endA || endB {
			return n
		}
	}
}
