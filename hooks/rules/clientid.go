package rules

import (
	"fmt"
	"strings"

	"github.com/outcry-mqtt/outcry/broker"
)

// idRule is a compiled ClientID.
type idRule struct {
	path string
	who  who
	ids  []idPattern
}

// idPattern is a client identifier with placeholders.
type idPattern struct {
	source string
	parts  []idPart
	open   bool // ends with *
}

type idPart struct {
	kind kind   // literal, userName or claimed
	text string // of a literal: its text; of a claim: its name
}

func compileIDs(path string, from *ClientID, problems *Problems) idRule {
	r := idRule{path: path, who: compileWho(path, from.Who, problems)}
	if len(from.IDs) == 0 {
		problems.report(path+".ids", &fault{"is empty", `write ids: ["{user}-*"]`})
	}
	for i, source := range from.IDs {
		p, f := parseID(source)
		if f != nil {
			problems.report(fmt.Sprintf("%s.ids[%d]", path, i), f)
		}
		r.ids = append(r.ids, p)
	}
	return r
}

// parseID compiles one of ClientID.IDs.
func parseID(source string) (idPattern, *fault) {
	p := idPattern{source: source}
	if source == "" {
		return p, &fault{"is empty", `write a client identifier, such as "{user}-*"`}
	}
	var rest string
	rest, p.open = strings.CutSuffix(source, "*")
	if strings.Contains(rest, "*") {
		return p, &fault{fmt.Sprintf("%q has a * before its end", source), "write * at the end only, where it matches any text"}
	}
	for rest != "" {
		text, behind, found := strings.Cut(rest, "{")
		if strings.Contains(text, "}") {
			return p, unclosed(source)
		}
		if text != "" {
			p.parts = append(p.parts, idPart{literal, text})
		}
		if !found {
			break
		}
		name, behind, closed := strings.Cut(behind, "}")
		if !closed {
			return p, unclosed(source)
		}
		part, f := idPlaceholder(name)
		if f != nil {
			return p, &fault{fmt.Sprintf("%q: %s", source, f.message), f.hint}
		}
		p.parts = append(p.parts, part)
		rest = behind
	}
	return p, nil
}

func unclosed(source string) *fault {
	return &fault{fmt.Sprintf("%q has an unmatched brace", source), "write {user} or {claim.NAME}"}
}

func idPlaceholder(name string) (idPart, *fault) {
	claim, isClaim := strings.CutPrefix(name, "claim.")
	switch {
	case name == "user":
		return idPart{kind: userName}, nil
	case isClaim && claim != "":
		return idPart{claimed, claim}, nil
	}
	return idPart{}, &fault{fmt.Sprintf("unknown placeholder {%s}", name), "write {user} or {claim.NAME}"}
}

// idRule returns the first rule that permits a client's identifier, or nil.
func (s *ruleset) idRule(c *broker.Client) *idRule {
	for i := range s.ids {
		r := &s.ids[i]
		if !r.who.includes(c.Identity) {
			continue
		}
		for j := range r.ids {
			if r.ids[j].matches(r.ids[j].parts, c.ID, c.Identity) {
				return r
			}
		}
	}
	return nil
}

// matches reports whether parts match text. A missing or empty value matches nothing; values contain no wildcards.
func (p *idPattern) matches(parts []idPart, text string, id *broker.Identity) bool {
	if len(parts) == 0 {
		return p.open || text == ""
	}
	follows := func(value string) bool {
		rest, ok := strings.CutPrefix(text, value)
		return ok && value != "" && p.matches(parts[1:], rest, id)
	}
	switch part := parts[0]; part.kind {
	case userName:
		return follows(id.User)
	case claimed:
		return anyMember(id.Claims[part.text], follows)
	default:
		return follows(part.text)
	}
}

// anyMember reports whether holds is true of a claim or of a member of a list.
func anyMember(claim any, holds func(string) bool) bool {
	switch list := claim.(type) {
	case []string:
		for _, member := range list {
			if holds(member) {
				return true
			}
		}
		return false
	case []any:
		for _, member := range list {
			if text, ok := appendScalar(nil, member); ok && holds(string(text)) {
				return true
			}
		}
		return false
	}
	text, ok := appendScalar(nil, claim)
	return ok && holds(string(text))
}
