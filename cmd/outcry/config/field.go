package config

import (
	"fmt"
	"io/fs"
	"reflect"
	"slices"
	"strings"
	"time"
)

// field is a field of a struct as its tags describe it.
type field struct {
	key   string
	index []int
	least string   // the smallest value; "": any
	none  string   // what the word none stands for; "": the word is not allowed
	oneof []string // the values that are allowed; nil: any
}

// fieldsOf returns the fields of a struct in their order, those of an inlined one in its place.
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
			none:  f.Tag.Get("none"),
			oneof: strings.Fields(f.Tag.Get("oneof")),
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

// isLeaf reports whether a value of this type is written without keys or items of its own.
func isLeaf(t reflect.Type) bool {
	return t.Kind() != reflect.Struct && t.Kind() != reflect.Slice && t.Kind() != reflect.Map
}

// set gives v, a leaf, the value that text says.
func (f field) set(v reflect.Value, text string) error {
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
	if f.least != "" && f.isLess(v) {
		return fmt.Errorf("%s is too small", text)
	}
	return nil
}

// isLess reports whether v is below the field's least value.
func (f field) isLess(v reflect.Value) bool {
	least := reflect.New(v.Type()).Elem()
	if err := parseInto(least, f.least); err != nil {
		panic(fmt.Sprintf("config: tag of %s: %v", f.key, err)) // our own mistake; a test walks all tags
	}
	if v.Kind() == reflect.Float64 {
		return v.Float() < least.Float()
	}
	return v.Int() < least.Int()
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

// hint says what may be written in a field of type t.
func (f field) hint(t reflect.Type) string {
	text := "write " + f.wanted(t)
	if f.least != "" {
		text += ", at least " + f.least
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
