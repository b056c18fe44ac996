package topic

import "strings"

// Names maps topic names to values, and finds the names that a filter matches. The zero value is empty and ready. It
// is not safe for concurrent use while it is changed.
type Names[V any] struct {
	exact map[string]V
	root  nameNode
}

// nameNode is a point where names branch or end: the root, and every node that is a name or has several children. A
// name takes at most two nodes, whatever its number of levels.
//
// A node's label never changes; splitting or joining nodes creates new ones. A search in steps may hold a node that
// has left the tree, and still finds everything below it.
type nameNode struct {
	label    string               // levels from the parent to this node
	only     *nameNode            // the single child
	children map[string]*nameNode // children by the first level of their labels, if there are several
	whole    string               // the name that ends here, if set is true
	set      bool
}

// Len returns the number of names.
func (t *Names[V]) Len() int { return len(t.exact) }

// Get returns the value of a name.
func (t *Names[V]) Get(name string) (V, bool) {
	v, ok := t.exact[name]
	return v, ok
}

// Set adds a name's value or replaces it.
func (t *Names[V]) Set(name string, v V) {
	if t.exact == nil {
		t.exact = make(map[string]V)
	}
	_, known := t.exact[name]
	t.exact[name] = v
	if known {
		return
	}
	t.root.add(name, name)
}

// Delete removes a name and reports whether it was present.
func (t *Names[V]) Delete(name string) bool {
	if _, ok := t.exact[name]; !ok {
		return false
	}
	delete(t.exact, name)
	t.root.remove(name)
	return true
}

// Match calls fn with each name that filter matches and its value, in no particular order, until fn returns false.
func (t *Names[V]) Match(filter string, fn func(name string, v V) bool) {
	if !HasWildcard(filter) {
		if v, ok := t.exact[filter]; ok {
			fn(filter, v)
		}
		return
	}
	t.root.match(filter, true, func(name string) bool { return fn(name, t.exact[name]) })
}

func (n *nameNode) match(filter string, top bool, fn func(string) bool) bool {
	switch level := first(filter); level {
	case "#":
		return n.each(top, fn)
	case "+":
		return n.eachChild(func(c *nameNode) bool { return top && isReserved(c.label) || c.step(filter, fn) })
	default:
		c := n.child(level)
		return c == nil || c.step(filter, fn)
	}
}

// step matches the rest of the filter with n's label and below it.
func (n *nameNode) step(filter string, fn func(string) bool) bool {
	rest, end := matchLabel(n.label, filter)
	switch {
	case end == noMatch:
		return true
	case end == endsInside:
		return (!n.set || fn(n.whole)) && n.each(false, fn)
	case end == endsHere:
		return !n.set || fn(n.whole)
	case rest == "#" && n.set && !fn(n.whole): // "a/#" matches "a" too (MQTT 4.7.1.2)
		return false
	}
	return n.match(rest, false, fn)
}

// ending is the position where a filter ends relative to a node's label.
type ending int

const (
	noMatch    ending = iota // no match
	endsInside               // at a # inside the label: it matches everything below
	endsHere                 // at the label's end
	endsBelow
)

// matchLabel matches a filter's first levels with a label's. It returns the rest of a filter that ends below.
func matchLabel(label, filter string) (rest string, end ending) {
	for labelMore := true; labelMore; {
		var level, want string
		var more bool
		level, label, labelMore = strings.Cut(label, "/")
		want, filter, more = strings.Cut(filter, "/")
		switch {
		case want == "#":
			return "", endsInside
		case want != "+" && want != level, labelMore && !more:
			return "", noMatch
		case !more:
			return "", endsHere
		}
	}
	return filter, endsBelow
}

// each calls fn with every name below n until it returns false.
func (n *nameNode) each(top bool, fn func(string) bool) bool {
	return n.eachChild(func(c *nameNode) bool {
		return top && isReserved(c.label) || (!c.set || fn(c.whole)) && c.each(false, fn)
	})
}

// eachChild calls fn with the children of n, in no particular order, until it returns false.
func (n *nameNode) eachChild(fn func(*nameNode) bool) bool {
	if n.only != nil {
		return fn(n.only)
	}
	for _, c := range n.children {
		if !fn(c) {
			return false
		}
	}
	return true
}

// isReserved reports whether a wildcard does not match a first level [MQTT-4.7.2-1].
func isReserved(level string) bool { return level != "" && level[0] == '$' }

// child returns the child whose label begins with a level, or nil.
func (n *nameNode) child(level string) *nameNode {
	if c := n.only; c != nil && first(c.label) == level {
		return c
	}
	return n.children[level]
}

// setChild adds c as a child, or replaces the child with the same first level.
func (n *nameNode) setChild(c *nameNode) {
	level := first(c.label)
	switch {
	case n.children != nil:
		n.children[level] = c
	case n.only == nil || first(n.only.label) == level:
		n.only = c
	default:
		n.children = map[string]*nameNode{first(n.only.label): n.only, level: c}
		n.only = nil
	}
}

// removeChild removes a child.
func (n *nameNode) removeChild(c *nameNode) {
	if n.only == c {
		n.only = nil
		return
	}
	delete(n.children, first(c.label))
	if len(n.children) > 1 {
		return
	}
	for _, n.only = range n.children {
	}
	n.children = nil
}

// withLabel returns a copy of n with another label, to replace it.
func (n *nameNode) withLabel(label string) *nameNode {
	return &nameNode{label: label, only: n.only, children: n.children, whole: n.whole, set: n.set}
}

// add adds a new name; rest is its part below n.
func (n *nameNode) add(name, rest string) {
	c := n.child(first(rest))
	if c == nil {
		n.setChild(&nameNode{label: strings.Clone(rest), whole: name, set: true})
		return
	}
	k := commonLevels(rest, c.label)
	if k < len(c.label) {
		above := &nameNode{label: strings.Clone(c.label[:k]), only: c.withLabel(strings.Clone(c.label[k+1:]))}
		n.setChild(above)
		c = above
	}
	if k == len(rest) {
		c.whole, c.set = name, true
		return
	}
	c.add(name, rest[k+1:])
}

// remove removes an existing name; rest is its part below n.
func (n *nameNode) remove(rest string) {
	c := n.child(first(rest))
	if len(rest) == len(c.label) {
		c.whole, c.set = "", false
	} else {
		c.remove(rest[len(c.label)+1:])
	}
	switch {
	case c.set || c.children != nil:
	case c.only == nil:
		n.removeChild(c)
	default:
		n.setChild(c.only.withLabel(c.label + "/" + c.only.label))
	}
}
