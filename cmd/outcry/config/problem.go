package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Position is the source of a value: a line and column of a file, a flag or an environment variable.
type Position struct {
	Source       string // "config.yaml", "--set", "OUTCRY_DATA", or "default"
	Line, Column int    // from 1; 0: Source has no lines
}

// String formats the position like compilers do.
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
	Message string // the error
	Hint    string // a correction; may be empty
}

// String formats the problem on one line.
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

// Error formats the problem on one line.
func (p Problem) Error() string { return p.String() }

// Problems is the error of Load: all problems, in the order of the file.
type Problems []Problem

// Error lists the problems, one a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Sorted returns the problems in the order of their positions, without duplicates.
func (ps Problems) Sorted() Problems {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return slices.Compact(ps)
}

// Suggest returns the name most similar to text, or "".
func Suggest(text string, names []string) string {
	best, least := "", 1+len(text)/3
	for _, name := range names {
		if d := distance(strings.ToLower(text), name); d <= least {
			best, least = name, d-1
		}
	}
	return best
}

// distance returns the Levenshtein distance of a and b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
