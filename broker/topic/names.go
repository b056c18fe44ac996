package topic

import "strings"

// Names is a set of topic names, each with a value, that finds those that a filter matches. The zero value is empty and
// ready. It is not safe for concurrent use while it is changed.
type Names[V any] struct {
	exact map[string]V
	root  nameNode
}

// nameNode is a level of names; whole is the name that ends here.
type nameNode struct {
	children map[string]*nameNode
	whole    string
	set      bool
}

// Len is the number of names.
func (t *Names[V]) Len() int { return len(t.exact) }

// Get returns the value of a name.
func (t *Names[V]) Get(name string) (V, bool) {
	v, ok := t.exact[name]
	return v, ok
}

// Set gives name a value, replacing the one it had.
func (t *Names[V]) Set(name string, v V) {
	if t.exact == nil {
		t.exact = make(map[string]V)
	}
	_, known := t.exact[name]
	t.exact[name] = v
	if known {
		return
	}
	n := &t.root
	for rest, more := name, true; more; {
		var level string
		level, rest, more = strings.Cut(rest, "/")
		n = n.grow(level)
	}
	n.whole, n.set = name, true
}

// Delete removes a name and tells whether it was there.
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
	level, rest, more := strings.Cut(filter, "/")
	switch level {
	case "#":
		return n.each(top, fn)
	case "+":
		for name, c := range n.children {
			if top && hidden(name) {
				continue
			}
			if !c.step(rest, more, fn) {
				return false
			}
		}
		return true
	}
	c := n.children[level]
	return c == nil || c.step(rest, more, fn)
}

// step matches what is left of the filter at and below n.
func (n *nameNode) step(rest string, more bool, fn func(string) bool) bool {
	if !more {
		return !n.set || fn(n.whole)
	}
	if rest == "#" && n.set && !fn(n.whole) { // "a/#" matches "a" too (MQTT 4.7.1.2)
		return false
	}
	return n.match(rest, false, fn)
}

// each calls fn with every name below n.
func (n *nameNode) each(top bool, fn func(string) bool) bool {
	for level, c := range n.children {
		if top && hidden(level) {
			continue
		}
		if c.set && !fn(c.whole) {
			return false
		}
		if !c.each(false, fn) {
			return false
		}
	}
	return true
}

// hidden tells whether a first level is out of a wildcard's reach [MQTT-4.7.2-1].
func hidden(level string) bool { return level != "" && level[0] == '$' }

func (n *nameNode) grow(level string) *nameNode {
	if c := n.children[level]; c != nil {
		return c
	}
	if n.children == nil {
		n.children = make(map[string]*nameNode, 1)
	}
	c := new(nameNode)
	n.children[level] = c
	return c
}

func (n *nameNode) remove(name string) {
	level, rest, more := strings.Cut(name, "/")
	c := n.children[level]
	if c == nil {
		return
	}
	if more {
		c.remove(rest)
	} else {
		c.whole, c.set = "", false
	}
	if !c.set && len(c.children) == 0 {
		delete(n.children, level)
	}
}
