package config

import (
	"cmp"
	"fmt"
	"io/fs"
	"reflect"
	"slices"
	"strings"
	"time"
)

// field describes a field of a struct by its tags.
type field struct {
	key   string
	index []int
	least string   // minimum; "": none
	most  string   // maximum; "": none
	auto  string   // meaning of the word auto, whose value is zero; "": not allowed
	none  string   // meaning of the word none; "": not allowed
	oneof []string // allowed values; nil: any
	of    string   // see Limits
	live  bool     // likewise
}

// fieldsOf returns the fields of a struct in order, those of an inlined struct in its place.
func fieldsOf(t reflect.Type) (fields []field) {
	for i := range t.NumField() {
		f := t.Field(i)
		key, inline := strings.CutSuffix(f.Tag.Get("key"), ",inline")
		if inline {
			for _, inner := range fieldsOf(f.Type) {
				inner.index = append([]int{i}, inner.index...)
				fields = append(fields, inner)
			}
			continue
		}
		fields = append(fields, field{
			key:   key,
			index: []int{i},
			least: f.Tag.Get("least"),
			most:  f.Tag.Get("most"),
			auto:  f.Tag.Get("auto"),
			none:  f.Tag.Get("none"),
			oneof: strings.Fields(f.Tag.Get("oneof")),
			of:    cmp.Or(f.Tag.Get("of"), f.Name),
			live:  f.Tag.Get("live") == "true",
		})
	}
	return fields
}

func findField(fields []field, key string) (field, bool) {
	for _, f := range fields {
		if f.key == key {
			return f, true
		}
	}
	return field{}, false
}

func keysOf(fields []field) []string {
	keys := make([]string, len(fields))
	for i, f := range fields {
		keys[i] = f.key
	}
	return keys
}

// isLeaf reports whether values of a type have no keys or items.
func isLeaf(t reflect.Type) bool {
	return t.Kind() != reflect.Struct && t.Kind() != reflect.Slice && t.Kind() != reflect.Map
}

// set parses text into v, a leaf.
func (f field) set(v reflect.Value, text string) error {
	if text == "auto" && f.auto != "" {
		v.SetZero()
		return nil
	}
	if text == "none" && f.none != "" {
		if v.Kind() == reflect.Float64 {
			v.SetFloat(none)
			return nil
		}
		v.SetInt(none)
		return nil
	}
	if err := parseInto(v, text); err != nil {
		return err
	}
	if len(f.oneof) > 0 && !slices.Contains(f.oneof, v.String()) {
		return fmt.Errorf("%q is not one of its values", text)
	}
	if f.least != "" && isLess(v, f.bound(v, f.least)) {
		return fmt.Errorf("%s is too small", text)
	}
	if f.most != "" && isLess(f.bound(v, f.most), v) {
		return fmt.Errorf("%s is too large", text)
	}
	return nil
}

// bound returns the value of a least or most tag for a field like v.
func (f field) bound(v reflect.Value, text string) reflect.Value {
	bound := reflect.New(v.Type()).Elem()
	if err := parseInto(bound, text); err != nil {
		panic(fmt.Sprintf("config: tag of %s: %v", f.key, err)) // a programming error; a test checks all tags
	}
	return bound
}

func isLess(a, b reflect.Value) bool {
	if a.Kind() == reflect.Float64 {
		return a.Float() < b.Float()
	}
	return a.Int() < b.Int()
}

func parseInto(v reflect.Value, text string) error {
	switch p := v.Addr().Interface().(type) {
	case *string:
		*p = text
		return nil
	case *bool:
		return assign(p, parseBool, text)
	case *int:
		return assign(p, parseCount, text)
	case *float64:
		return assign(p, parseNumber, text)
	case *Size:
		return assign(p, parseSize, text)
	case *time.Duration:
		return assign(p, ParseDuration, text)
	case *fs.FileMode:
		return assign(p, parseMode, text)
	}
	panic(fmt.Sprintf("config: fields of type %s cannot be read", v.Type()))
}

func assign[T any](to *T, parse func(string) (T, error), text string) error {
	value, err := parse(text)
	if err == nil {
		*to = value
	}
	return err
}

// hint describes the values of type t.
func (f field) hint(t reflect.Type) string {
	text := "write " + f.wanted(t)
	if f.least != "" {
		text += ", at least " + f.least
	}
	if f.most != "" {
		text += ", at most " + f.most
	}
	if f.auto != "" {
		text += ", or auto (" + f.auto + ")"
	}
	if f.none != "" {
		text += ", or none (" + f.none + ")"
	}
	return text
}

func (f field) wanted(t reflect.Type) string {
	if len(f.oneof) > 0 {
		return strings.Join(f.oneof[:len(f.oneof)-1], ", ") + " or " + f.oneof[len(f.oneof)-1]
	}
	switch t {
	case reflect.TypeFor[Size]():
		return "bytes, such as 65536, 64KiB or 1MiB"
	case reflect.TypeFor[time.Duration]():
		return "a time, such as 500ms, 10s, 5m, 2h or 7d"
	case reflect.TypeFor[fs.FileMode]():
		return `octal digits in quotes, such as "0660"`
	case reflect.TypeFor[bool]():
		return "true or false"
	case reflect.TypeFor[string]():
		return "a text"
	}
	return "a number"
}
