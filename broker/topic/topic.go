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
