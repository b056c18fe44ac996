package config

import (
	"os"
	"reflect"
	"slices"
	"strings"
)

// Options are the sources of a configuration. Later ones take precedence.
type Options struct {
	File    string   // in YAML; "": the defaults only
	Environ []string // as from os.Environ; nil: empty
	Sets    []Set    // from the command line
}

// Loaded is a configuration with the positions of its values.
type Loaded struct {
	Config
	Warnings Problems // valid but suspicious settings

	file      string
	positions map[string]Position
}

// Load reads a configuration. Its error is Problems with everything wrong.
func Load(o Options) (*Loaded, error) {
	l := &Loaded{Config: Default(), file: o.File, positions: map[string]Position{}}
	var problems Problems
	if o.File != "" {
		text, err := os.ReadFile(o.File)
		if err != nil {
			return nil, unreadable(o.File, err)
		}
		d := decoder{source: o.File, positions: l.positions, problems: &problems}
		d.document("", strings.TrimPrefix(string(text), "\ufeff"), reflect.ValueOf(&l.Config).Elem(), field{})
	}
	sets, unknown := envSets(o.Environ)
	for _, s := range slices.Concat(sets, o.Sets) {
		d := decoder{source: s.Source, lineless: true, positions: l.positions, problems: &problems}
		d.apply(s, reflect.ValueOf(&l.Config).Elem())
	}
	problems = append(problems, l.validate(problems)...)
	if len(problems) > 0 {
		return nil, problems.Sorted()
	}
	l.warn(unknown)
	return l, nil
}

func unreadable(file string, err error) error {
	at, hint := Position{Source: file}, "give another file with --config, or omit it for the defaults"
	if os.IsPermission(err) {
		hint = "allow this user to read it"
	}
	return Problems{{at, "", "cannot be read: " + cause(err), hint}}
}

// cause returns an error of package os without the file's name.
func cause(err error) string {
	if e, ok := err.(*os.PathError); ok {
		return e.Err.Error()
	}
	return err.Error()
}

// Where returns the position of the value at a path, or else of the section that contains it.
func (l *Loaded) Where(path string) Position {
	for {
		if at, known := l.positions[path]; known {
			return at
		}
		i := strings.LastIndexAny(path, ".[")
		if i < 0 {
			break
		}
		path = path[:i]
	}
	if l.file == "" {
		return Position{Source: "defaults"}
	}
	return Position{Source: l.file}
}

// Problem returns a problem of the value at a path, for checks outside this package.
func (l *Loaded) Problem(path, message, hint string) Problem {
	return Problem{l.Where(path), path, message, hint}
}
