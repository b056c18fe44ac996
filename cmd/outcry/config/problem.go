package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Position is where a value comes from: a line and column of a file, a flag or a variable of the environment.
type Position struct {
	Source       string // "config.yaml", "--set", "OUTCRY_DATA", or "default"
	Line, Column int    // from 1; 0: Source has no lines
}

// String returns the position as compilers write it.
func (p Position) String() string {
	if p.Line == 0 {
		return p.Source
	}
	return fmt.Sprintf("%s:%d:%d", p.Source, p.Line, p.Column)
}

// Problem is one error in the configuration.
type Problem struct {
	Position
	Path    string // "limits.max_packet", "rules[2].topics[0]"; empty: the whole file
	Message string // what is wrong
	Hint    string // what to do; may be empty
}

// String returns the problem on one line.
func (p Problem) String() string {
	text := p.Position.String() + ": "
	if p.Path != "" {
		text += p.Path + ": "
	}
	text += p.Message
	if p.Hint != "" {
		text += "; " + p.Hint
	}
	return text
}

// Error returns the problem on one line.
func (p Problem) Error() string { return p.String() }

// Problems is the error of Load: everything that is wrong, in the order of the file.
type Problems []Problem

// Error returns one problem a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Sorted returns the problems in the order of their positions, each once.
func (ps Problems) Sorted() Problems {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return slices.Compact(ps)
}
