package config

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// decoder decodes YAML, records the position of each value, and continues after an error.
type decoder struct {
	source    string
	lineless  bool // source is no file
	positions map[string]Position
	problems  *Problems
}

// document parses text and decodes it into v. path is the path of v in the configuration, "" for the whole.
func (d *decoder) document(path, text string, v reflect.Value, f field) {
	file, err := parser.ParseBytes([]byte(text), 0, parser.AllowDuplicateMapKey())
	if err != nil {
		d.syntax(path, err)
		return
	}
	if len(file.Docs) > 1 {
		d.report(path, file.Docs[1].GetToken().Position.Line, 1, "the file has a second document", "keep one")
	}
	if len(file.Docs) > 0 && file.Docs[0].Body != nil {
		d.value(path, file.Docs[0].Body, v, f)
	}
}

func (d *decoder) syntax(path string, err error) {
	var syntax *yaml.SyntaxError
	if !errors.As(err, &syntax) {
		d.report(path, 0, 0, "not YAML: "+err.Error(), "")
		return
	}
	at := syntax.Token.Position
	d.report(path, at.Line, at.Column, "not YAML: "+syntax.Message, "")
}

func (d *decoder) report(path string, line, column int, message, hint string) {
	*d.problems = append(*d.problems, Problem{d.position(line, column), path, message, hint})
}

func (d *decoder) position(line, column int) Position {
	if d.lineless {
		return Position{Source: d.source}
	}
	return Position{d.source, line, column}
}

// at returns the position of the first character of a node.
func (d *decoder) at(n ast.Node) Position {
	t := n.GetToken()
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		t = m.Values[0].Key.GetToken()
	}
	return d.position(t.Position.Line, t.Position.Column)
}

func (d *decoder) reportNode(path string, n ast.Node, message, hint string) {
	at := d.at(n)
	d.report(path, at.Line, at.Column, message, hint)
}

// value decodes a node into v.
func (d *decoder) value(path string, n ast.Node, v reflect.Value, f field) {
	if _, noted := d.positions[path]; !noted {
		d.positions[path] = d.at(n)
	}
	switch n.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode:
		d.reportNode(path, n, "anchors, aliases and tags are not supported", "write the value out")
		return
	case *ast.NullNode:
		d.null(path, n, v, f)
		return
	}
	switch {
	case isLeaf(v.Type()):
		d.leaf(path, n, v, f)
	case v.Kind() == reflect.Struct:
		d.mapping(path, n, v)
	case v.Kind() == reflect.Map:
		d.texts(path, n, v)
	default:
		d.list(path, n, v)
	}
}

// entry decodes the value of a key.
func (d *decoder) entry(path string, e *ast.MappingValueNode, v reflect.Value, f field) {
	if _, missing := e.Value.(*ast.NullNode); missing {
		d.positions[path] = d.at(e.Key)
		d.null(path, e.Key, v, f) // an absent value has no position
		return
	}
	d.value(path, e.Value, v, f)
}

// null handles a key without a value, such as a list or section whose lines are all comments.
func (d *decoder) null(path string, n ast.Node, v reflect.Value, f field) {
	switch v.Kind() {
	case reflect.Slice, reflect.Map:
		v.SetZero()
	case reflect.Struct:
	case reflect.String:
		d.reportNode(path, n, "has no value", `write "" for an empty one`)
	default:
		d.reportNode(path, n, "has no value", f.hint(v.Type()))
	}
}

func (d *decoder) leaf(path string, n ast.Node, v reflect.Value, f field) {
	text, ok := scalar(n)
	if !ok {
		d.reportNode(path, n, "is "+kindOf(n)+", but must be a single value", f.hint(v.Type()))
		return
	}
	if err := f.set(v, text); err != nil {
		d.reportNode(path, n, err.Error(), f.hint(v.Type()))
	}
}

// scalar returns the text of a scalar node.
func scalar(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}

func kindOf(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a section with keys"
	case *ast.SequenceNode:
		return "a list"
	}
	return "a single value"
}

func (d *decoder) list(path string, n ast.Node, v reflect.Value) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		d.reportNode(path, n, "is "+kindOf(n)+", but must be a list", "write [a, b] or a line with - for each item")
		return
	}
	if len(seq.Values) == 0 {
		v.SetZero()
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(seq.Values), len(seq.Values)))
	for i, n := range seq.Values {
		d.value(Item(path, i), n, v.Index(i), field{})
	}
}

func (d *decoder) mapping(path string, n ast.Node, v reflect.Value) {
	m, ok := n.(*ast.MappingNode)
	if !ok {
		d.reportNode(path, n, "is "+kindOf(n)+", but must be a section with keys", "write key: value")
		return
	}
	fields, seen := fieldsOf(v.Type()), map[string]bool{}
	for _, entry := range m.Values {
		key := keyText(entry)
		f, known := findField(fields, key)
		switch {
		case !known:
			d.reportNode(join(path, key), entry.Key, "unknown key", unknownHint(key, path, fields))
		case seen[key]:
			d.reportNode(join(path, key), entry.Key, "is a duplicate key", "remove one of the two")
		default:
			d.entry(join(path, key), entry, v.FieldByIndex(f.index), f)
		}
		seen[key] = true
	}
}

// texts decodes a section with arbitrary keys and text values.
func (d *decoder) texts(path string, n ast.Node, v reflect.Value) {
	m, ok := n.(*ast.MappingNode)
	if !ok {
		d.reportNode(path, n, "is "+kindOf(n)+", but must be a section with keys", "write key: value")
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	for _, entry := range m.Values {
		key, text := keyText(entry), reflect.New(v.Type().Elem()).Elem()
		if v.MapIndex(reflect.ValueOf(key)).IsValid() {
			d.reportNode(join(path, key), entry.Key, "is a duplicate key", "remove one of the two")
		}
		d.entry(join(path, key), entry, text, field{})
		v.SetMapIndex(reflect.ValueOf(key), text)
	}
}

func keyText(entry *ast.MappingValueNode) string {
	if s, ok := entry.Key.(*ast.StringNode); ok {
		return s.Value
	}
	return entry.Key.String()
}

func unknownHint(key, path string, fields []field) string {
	if meant := Suggest(key, keysOf(fields)); meant != "" {
		return "did you mean " + meant + "?"
	}
	return "known keys: " + strings.Join(keysOf(fields), ", ")
}

// Item returns the path of an item of a list.
func Item(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
