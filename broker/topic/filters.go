package topic

import (
	"hash/maphash"
	"strings"

	"github.com/outcry-mqtt/outcry/broker/table"
)

// Filters is values by their topic filters, which are their keys, and finds those whose filters match a name. Filters without
// wildcards are looked up; the others share a tree of levels. The zero value is empty and ready. It is not safe for
// concurrent use while it is changed.
type Filters[V table.Item] struct {
	exact [parts]table.Table[V]
	wild  filterNode[V]
	count int
}

// parts is among how many tables the filters without wildcards are dealt out, so that none takes long to grow.
const parts = 256

var partSeed = maphash.MakeSeed()

type filterNode[V table.Item] struct {
	children map[string]*filterNode[V]
	plus     *filterNode[V]
	value    V // zero: no filter ends here
	hash     V // of the filter that ends in # below this level
}

func (t *Filters[V]) part(filter string) *table.Table[V] {
	return &t.exact[maphash.String(partSeed, filter)%parts]
}

// Len is the number of filters.
func (t *Filters[V]) Len() int { return t.count }

// Get returns the value of exactly this filter.
func (t *Filters[V]) Get(filter string) (v V, ok bool) {
	if !HasWildcard(filter) {
		return t.part(filter).Find(filter, every)
	}
	var none V
	n := &t.wild
	for rest, more := filter, true; more; {
		var level string
		if level, rest, more = strings.Cut(rest, "/"); level == "#" {
			return n.hash, n.hash != none
		}
		if n = n.child(level); n == nil {
			return v, false
		}
	}
	return n.value, n.value != none
}

func every[V any](V) bool { return true }

// Set enters a value under its filter, in the place of the one that was there. The filter must be valid.
func (t *Filters[V]) Set(v V) {
	filter := v.Key()
	if old, had := t.Get(filter); !had {
		t.count++
	} else if !HasWildcard(filter) {
		t.part(filter).Replace(old, v)
		return
	}
	if !HasWildcard(filter) {
		t.part(filter).Add(v)
		return
	}
	n := &t.wild
	for rest, more := filter, true; more; {
		var level string
		if level, rest, more = strings.Cut(rest, "/"); level == "#" {
			n.hash = v
			return
		}
		n = n.grow(level)
	}
	n.value = v
}

// Delete removes a filter and tells whether it was there.
func (t *Filters[V]) Delete(filter string) bool {
	v, had := t.Get(filter)
	switch {
	case !had:
		return false
	case HasWildcard(filter):
		t.wild.remove(filter)
	default:
		t.part(filter).Remove(v)
	}
	t.count--
	return true
}

// Match calls fn with the value of each filter that matches name, in no particular order.
func (t *Filters[V]) Match(name string, fn func(V)) {
	if v, ok := t.part(name).Find(name, every); ok {
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
	var none V
	if n.hash != none {
		fn(n.hash)
	}
	if !more {
		if n.value != none {
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

// remove takes a filter that is there out below n, and prunes what became empty.
func (n *filterNode[V]) remove(filter string) {
	var none V
	level, rest, more := strings.Cut(filter, "/")
	if level == "#" {
		n.hash = none
		return
	}
	c := n.child(level)
	if more {
		c.remove(rest)
	} else {
		c.value = none
	}
	switch {
	case !c.empty():
	case level == "+":
		n.plus = nil
	default:
		delete(n.children, level)
	}
}

func (n *filterNode[V]) empty() bool {
	var none V
	return n.value == none && n.hash == none && n.plus == nil && len(n.children) == 0
}
