package topic

import "strings"

// Filters is a set of topic filters, each with a value, that finds those that match a name. Filters without wildcards
// are one map lookup; the others share a tree of levels. The zero value is empty and ready. It is not safe for
// concurrent use while it is changed.
type Filters[V any] struct {
	exact map[string]V
	wild  filterNode[V]
	count int
}

type filterNode[V any] struct {
	children map[string]*filterNode[V]
	plus     *filterNode[V]
	value    V
	set      bool
	hash     V // of the filter that ends in # below this level
	hashSet  bool
}

// Len is the number of filters.
func (t *Filters[V]) Len() int { return t.count }

// Get returns the value of exactly this filter.
func (t *Filters[V]) Get(filter string) (v V, ok bool) {
	if !HasWildcard(filter) {
		v, ok = t.exact[filter]
		return v, ok
	}
	n := &t.wild
	for rest, more := filter, true; more; {
		var level string
		if level, rest, more = strings.Cut(rest, "/"); level == "#" {
			return n.hash, n.hashSet
		}
		if n = n.child(level); n == nil {
			return v, false
		}
	}
	return n.value, n.set
}

// Set gives filter a value, replacing the one it had. The filter must be valid.
func (t *Filters[V]) Set(filter string, v V) {
	if !HasWildcard(filter) {
		if t.exact == nil {
			t.exact = make(map[string]V)
		}
		before := len(t.exact)
		t.exact[filter] = v
		t.count += len(t.exact) - before
		return
	}
	n := &t.wild
	for rest, more := filter, true; more; {
		var level string
		if level, rest, more = strings.Cut(rest, "/"); level == "#" {
			if !n.hashSet {
				t.count++
			}
			n.hash, n.hashSet = v, true
			return
		}
		n = n.grow(level)
	}
	if !n.set {
		t.count++
	}
	n.value, n.set = v, true
}

// Delete removes a filter and tells whether it was there.
func (t *Filters[V]) Delete(filter string) bool {
	before := t.count
	if !HasWildcard(filter) {
		n := len(t.exact)
		delete(t.exact, filter)
		t.count += len(t.exact) - n
	} else if t.wild.remove(filter) {
		t.count--
	}
	return t.count < before
}

// Match calls fn with the value of each filter that matches name, in no particular order.
func (t *Filters[V]) Match(name string, fn func(V)) {
	if v, ok := t.exact[name]; ok {
		fn(v)
	}
	if name != "" && name[0] == '$' {
		level, rest, more := strings.Cut(name, "/")
		if n := t.wild.children[level]; n != nil {
			n.match(rest, more, fn)
		}
		return
	}
	t.wild.match(name, true, fn)
}

// match continues below n with what is left of the name; more is false when nothing is left.
func (n *filterNode[V]) match(rest string, more bool, fn func(V)) {
	if n.hashSet {
		fn(n.hash)
	}
	if !more {
		if n.set {
			fn(n.value)
		}
		return
	}
	level, rest, more := strings.Cut(rest, "/")
	if c := n.children[level]; c != nil {
		c.match(rest, more, fn)
	}
	if n.plus != nil {
		n.plus.match(rest, more, fn)
	}
}

func (n *filterNode[V]) child(level string) *filterNode[V] {
	if level == "+" {
		return n.plus
	}
	return n.children[level]
}

func (n *filterNode[V]) grow(level string) *filterNode[V] {
	if c := n.child(level); c != nil {
		return c
	}
	c := new(filterNode[V])
	if level == "+" {
		n.plus = c
		return c
	}
	if n.children == nil {
		n.children = make(map[string]*filterNode[V])
	}
	n.children[strings.Clone(level)] = c
	return c
}

// remove takes a filter out below n and prunes what became empty; it tells whether the filter was there.
func (n *filterNode[V]) remove(filter string) (was bool) {
	var zero V
	level, rest, more := strings.Cut(filter, "/")
	if level == "#" {
		was, n.hash, n.hashSet = n.hashSet, zero, false
		return was
	}
	c := n.child(level)
	if c == nil {
		return false
	}
	if more {
		was = c.remove(rest)
	} else {
		was, c.value, c.set = c.set, zero, false
	}
	if c.empty() {
		if level == "+" {
			n.plus = nil
		} else {
			delete(n.children, level)
		}
	}
	return was
}

func (n *filterNode[V]) empty() bool {
	return !n.set && !n.hashSet && n.plus == nil && len(n.children) == 0
}
