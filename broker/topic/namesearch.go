package topic

import "reflect"

// NameSearch is a search for the names that a filter matches. Each step visits a bounded number of the tree's nodes,
// because clients choose the tree's shape: one filter can visit every node and match no name.
//
// The names may change between steps. A name present from the first step to the last is found once; one added or
// removed meanwhile may be found or not.
type NameSearch struct {
	left   int          // nodes that this step may still visit
	levels []rangeLevel // unfinished levels, from the first to the deepest
}

// rangeLevel is a node whose children are being visited, for + or #.
type rangeLevel struct {
	node     *nameNode
	begun    bool
	children *reflect.MapIter // unlike a range statement it can pause; nil: at most one child
	rest     string           // the filter's levels for the children; empty for #
	top      bool
}

// next returns the next child to visit, or nil.
func (at *rangeLevel) next() *nameNode {
	if !at.begun {
		at.begun = true
		if at.node.children == nil {
			return at.node.only
		}
		at.children = reflect.ValueOf(at.node.children).MapRange()
	}
	if at.children == nil || !at.children.Next() {
		return nil
	}
	return at.children.Value().Interface().(*nameNode)
}

// Search starts a search with a step of at most most nodes. It returns false if there is more to search.
func (t *Names[V]) Search(s *NameSearch, filter string, most int, fn func(name string, v V)) (done bool) {
	if !HasWildcard(filter) {
		if v, ok := t.exact[filter]; ok {
			fn(filter, v)
		}
		return true
	}
	s.match(&t.root, filter, true, t.existing(fn))
	return t.Continue(s, most, fn)
}

// Continue runs another step. It returns false if there is more to search.
func (t *Names[V]) Continue(s *NameSearch, most int, fn func(name string, v V)) (done bool) {
	found := t.existing(fn)
	for s.left = most; s.left > 0 && len(s.levels) > 0; s.left-- {
		at := &s.levels[len(s.levels)-1]
		n := at.next()
		switch {
		case n == nil:
			s.levels = s.levels[:len(s.levels)-1]
		case at.top && isReserved(n.label):
		case at.rest != "":
			s.step(n, at.rest, found)
		default:
			s.visitAll(n, found)
		}
	}
	return len(s.levels) == 0
}

// existing calls fn with names that still exist: a search may hold nodes of deleted names.
func (t *Names[V]) existing(fn func(name string, v V)) func(string) {
	return func(name string) {
		if v, ok := t.exact[name]; ok {
			fn(name, v)
		}
	}
}

// match visits the rest of the filter below n, up to the first wildcard.
func (s *NameSearch) match(n *nameNode, filter string, top bool, found func(string)) {
	switch level := first(filter); level {
	case "#":
		s.rangeOver(n, "", top)
	case "+":
		s.rangeOver(n, filter, top)
	default:
		if c := n.child(level); c != nil {
			s.step(c, filter, found)
		}
	}
}

// step visits n with the rest of the filter. A level of the node's label counts as a fraction of a node.
func (s *NameSearch) step(n *nameNode, filter string, found func(string)) {
	s.left -= len(n.label) / labelWork
	rest, end := matchLabel(n.label, filter)
	switch {
	case end == noMatch:
	case end == endsInside:
		s.visitAll(n, found)
	case end == endsHere || rest == "#": // "a/#" matches "a" too (MQTT 4.7.1.2)
		if n.set {
			found(n.whole)
		}
	}
	if end == endsBelow {
		s.match(n, rest, false, found)
	}
}

// labelWork is the number of label bytes that take as long to match as a node takes to visit.
const labelWork = 32

// visitAll visits n and everything below it.
func (s *NameSearch) visitAll(n *nameNode, found func(string)) {
	if n.set {
		found(n.whole)
	}
	s.rangeOver(n, "", false)
}

// rangeOver queues the children of n; rest is the filter's levels for them, from a + on, or "" if all of them match.
func (s *NameSearch) rangeOver(n *nameNode, rest string, top bool) {
	if n.only != nil || n.children != nil {
		s.levels = append(s.levels, rangeLevel{node: n, rest: rest, top: top})
	}
}
