package config

import (
	"reflect"
	"strings"
)

// Changed returns the paths of the keys whose values differ between two configurations, in the order of Config.
func Changed(a, b Config) (paths []string) {
	for _, path := range Paths() {
		x, y := lookup(reflect.ValueOf(a), path), lookup(reflect.ValueOf(b), path)
		if !reflect.DeepEqual(x.Interface(), y.Interface()) {
			paths = append(paths, path)
		}
	}
	return paths
}

// lookup returns the value at one of Paths.
func lookup(v reflect.Value, path string) reflect.Value {
	for key := range strings.SplitSeq(path, ".") {
		f, _ := findField(fieldsOf(v.Type()), key)
		v = v.FieldByIndex(f.index)
	}
	return v
}
