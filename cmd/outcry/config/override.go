package config

import (
	"reflect"
	"strings"
)

// Set is a value from the command line or the environment.
type Set struct {
	Source string // for errors: "--set", "--tcp"
	Path   string // "listeners.tcp.address"
	Value  string // as in the file; a list's items may also be separated by commas, without brackets
}

// ParseSet parses "a.b=value" of a flag.
func ParseSet(source, text string) (Set, error) {
	path, value, found := strings.Cut(text, "=")
	if !found || path == "" {
		at := Position{Source: source}
		return Set{}, Problems{{at, "", text + " is not an assignment", "write --set key=value, such as --set log.level=debug"}}
	}
	return Set{source + " " + path, path, value}, nil
}

// envPrefix is the prefix of environment variables for keys: OUTCRY_LOG_LEVEL for log.level.
const envPrefix = "OUTCRY_"

func envName(path string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}

// envSets returns the values set by the environment, and unknown variables with the prefix.
func envSets(environ []string) (sets []Set, unknown []string) {
	paths := map[string]string{}
	for _, path := range Paths() {
		paths[envName(path)] = path
	}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, envPrefix) {
			continue
		}
		if path, known := paths[name]; known {
			sets = append(sets, Set{name, path, value})
		} else {
			unknown = append(unknown, name)
		}
	}
	return sets, unknown
}

// Paths returns the path of every key with a value of its own, in the order of Config: "data",
// "listeners.tcp.address", …
func Paths() []string { return pathsOf("", reflect.TypeFor[Config]()) }

func pathsOf(path string, t reflect.Type) (paths []string) {
	for _, f := range fieldsOf(t) {
		inner := t.FieldByIndex(f.index).Type
		if inner.Kind() == reflect.Struct {
			paths = append(paths, pathsOf(join(path, f.key), inner)...)
		} else {
			paths = append(paths, join(path, f.key))
		}
	}
	return paths
}

// apply overrides one value.
func (d *decoder) apply(s Set, config reflect.Value) {
	v, f := config, field{}
	path := ""
	for key := range strings.SplitSeq(s.Path, ".") {
		if v.Kind() != reflect.Struct {
			d.report(s.Path, 0, 0, path+" has no keys", "set "+path+" as a whole")
			return
		}
		fields, known := fieldsOf(v.Type()), false
		if f, known = findField(fields, key); !known {
			d.report(s.Path, 0, 0, "unknown key", unknownHint(key, path, fields))
			return
		}
		v, path = v.FieldByIndex(f.index), join(path, key)
	}
	d.forget(s.Path)
	d.positions[s.Path] = Position{Source: d.source}
	d.override(s, v, f)
}

func (d *decoder) override(s Set, v reflect.Value, f field) {
	switch {
	case isLeaf(v.Type()):
		if err := f.set(v, s.Value); err != nil {
			d.report(s.Path, 0, 0, err.Error(), f.hint(v.Type()))
		}
	case v.Type() == reflect.TypeFor[[]string]() && !strings.HasPrefix(strings.TrimSpace(s.Value), "["):
		v.Set(reflect.ValueOf(splitList(s.Value)))
	default:
		d.document(s.Path, s.Value, v, f)
	}
}

func splitList(text string) (items []string) {
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}

// forget removes the positions below path, before its value is replaced.
func (d *decoder) forget(path string) {
	for p := range d.positions {
		if rest, inside := strings.CutPrefix(p, path); inside && rest != "" && strings.ContainsAny(rest[:1], ".[") {
			delete(d.positions, p)
		}
	}
}
