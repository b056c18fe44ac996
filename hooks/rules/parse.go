package rules

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxTopicBytes is the maximum length of an MQTT string [MQTT-4.7.3-3].
const maxTopicBytes = 65535

// parsePattern compiles a topic filter of a rule.
func parsePattern(source string) (pattern, *fault) {
	return parse(source, rulePlaceholder)
}

// parseRoom compiles the topics of a room.
func parseRoom(source string) (pattern, *fault) {
	p, f := parse(source, roomPlaceholder)
	if f != nil {
		return p, f
	}
	rooms := 0
	for _, l := range p.levels {
		if l.kind == room {
			rooms++
		}
	}
	if rooms > 1 {
		return p, &fault{fmt.Sprintf("%q has two room placeholders", source), "use one placeholder, and + for any other level"}
	}
	return p, nil
}

func parse(source string, placeholder func(name string) (level, *fault)) (pattern, *fault) {
	if f := checkTopic(source); f != nil {
		return pattern{}, f
	}
	texts := splitLevels(source)
	levels := make([]level, len(texts))
	for i, text := range texts {
		l, f := parseLevel(text, i == len(texts)-1, placeholder)
		if f != nil {
			return pattern{}, &fault{fmt.Sprintf("%q: %s", source, f.message), f.hint}
		}
		levels[i] = l
	}
	if name := repeated(levels); name != "" {
		return pattern{}, &fault{fmt.Sprintf("%q has {claim.%s} twice", source, name), "use each claim once"}
	}
	return newPattern(source, levels), nil
}

func checkTopic(source string) *fault {
	switch {
	case source == "":
		return &fault{"is empty", "write a topic filter, such as ticker/#"}
	case len(source) > maxTopicBytes:
		return &fault{fmt.Sprintf("is %d bytes long", len(source)), fmt.Sprintf("a topic has at most %d", maxTopicBytes)}
	case !utf8.ValidString(source) || strings.ContainsRune(source, 0):
		return &fault{fmt.Sprintf("%q is not UTF-8 without NUL", source), ""}
	case strings.HasPrefix(source, "$share/"):
		return &fault{fmt.Sprintf("%q is a shared subscription", source), "write only the filter after $share/GROUP/: rules apply to both kinds of subscription"}
	}
	return nil
}

// splitLevels splits at the slashes outside braces: claim names may contain slashes.
func splitLevels(source string) []string {
	var levels []string
	start, depth := 0, 0
	for i := range len(source) {
		switch source[i] {
		case '{':
			depth++
		case '}':
			depth = max(depth-1, 0)
		case '/':
			if depth == 0 {
				levels = append(levels, source[start:i])
				start = i + 1
			}
		}
	}
	return append(levels, source[start:])
}

func parseLevel(text string, last bool, placeholder func(string) (level, *fault)) (level, *fault) {
	switch {
	case text == "+":
		return level{kind: plus}, nil
	case text == "#" && last:
		return level{kind: hash}, nil
	case text == "#":
		return level{}, &fault{"# is not the last level", "end the filter with it, or use + for one level"}
	case strings.ContainsAny(text, "{}"):
		return parsePlaceholder(text, placeholder)
	case strings.ContainsAny(text, "+#"):
		return level{}, &fault{fmt.Sprintf("the wildcard in %q is not alone", text), "a wildcard takes a whole level"}
	}
	return level{kind: literal, text: text}, nil
}

func parsePlaceholder(text string, placeholder func(string) (level, *fault)) (level, *fault) {
	name, isOpen := strings.CutPrefix(text, "{")
	name, isClosed := strings.CutSuffix(name, "}")
	if !isOpen || !isClosed || strings.ContainsAny(name, "{}") {
		return level{}, &fault{fmt.Sprintf("%q is not one placeholder", text), "a placeholder takes a whole level: devices/{client}/#"}
	}
	return placeholder(name)
}

func rulePlaceholder(name string) (level, *fault) {
	switch claim, isClaim := strings.CutPrefix(name, "claim."); {
	case name == "client":
		return level{kind: clientID}, nil
	case name == "user":
		return level{kind: userName}, nil
	case isClaim && claim != "":
		return level{kind: claimed, text: claim}, nil
	}
	return level{}, &fault{fmt.Sprintf("unknown placeholder {%s}", name), "write {client}, {user} or {claim.NAME}"}
}

func roomPlaceholder(name string) (level, *fault) {
	if name == "client" || name == "user" || strings.HasPrefix(name, "claim.") {
		return level{}, &fault{fmt.Sprintf("{%s} cannot be a room's name", name), "write a rule, or call the placeholder {room}"}
	}
	if name == "" {
		return level{}, &fault{"{} has no name", "write {room}"}
	}
	return level{kind: room, text: name}, nil
}

// repeated returns a claim name that stands at two levels. For a list it would be ambiguous whether both levels must
// have the same member.
func repeated(levels []level) string {
	seen := map[string]bool{}
	for _, l := range levels {
		if l.kind == claimed && seen[l.text] {
			return l.text
		}
		seen[l.text] = seen[l.text] || l.kind == claimed
	}
	return ""
}
