package rules

import "strings"

// Problem is one thing that is wrong with Options.
type Problem struct {
	Path    string // where, in Options' terms and lower case: "rules[2].topics[0]", "rooms[0].join", "rules[1].claims.role"
	Message string // what is wrong
	Hint    string // what to write instead; may be empty
}

// String returns the problem in one line.
func (p Problem) String() string {
	if p.Hint == "" {
		return p.Path + ": " + p.Message
	}
	return p.Path + ": " + p.Message + "; " + p.Hint
}

// Problems is the error of New and Update: everything that is wrong with Options, in their order.
type Problems []Problem

// Error returns the problems, a line each.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "\n")
}

// report notes a problem at path.
func (p *Problems) report(path string, f *fault) {
	*p = append(*p, Problem{Path: path, Message: f.message, Hint: f.hint})
}

// fault is a problem whose place is not known yet.
type fault struct{ message, hint string }
