package rules

import "strings"

// Problem is one error in Options.
type Problem struct {
	Path    string // the place, in Options' terms and lower case: "rules[2].topics[0]", "rooms[0].join", "rules[1].claims.role"
	Message string // the error
	Hint    string // a correction; may be empty
}

// String formats the problem on one line.
func (p Problem) String() string {
	if p.Hint == "" {
		return p.Path + ": " + p.Message
	}
	return p.Path + ": " + p.Message + "; " + p.Hint
}

// Problems is the error of New and Update: all problems of Options, in their order.
type Problems []Problem

// Error lists the problems, one a line.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "\n")
}

// report adds a problem at path.
func (p *Problems) report(path string, f *fault) {
	*p = append(*p, Problem{Path: path, Message: f.message, Hint: f.hint})
}

// fault is a problem whose path is not known yet.
type fault struct{ message, hint string }
