package topic

import (
	"hash/maphash"
	"math"
	"strings"

	"github.com/outcry-mqtt/outcry/internal/table"
)

// Filters maps topic filters to values, which contain their filter, and finds the values of all filters that match a
// name. Filters without wildcards are in hash tables; the others share a tree of levels. The zero value is empty and
// ready. It is not safe for concurrent use while it is changed.
type Filters[V table.Item] struct {
	exact [tables]table.Table[V]
	wild  filterNode[V]
	count int
}

// tables is the number of tables for filters without wildcards. Many small tables bound the time that one takes to
// grow.
const tables = 256

var tableSeed = maphash.MakeSeed()

// filterNode is a point where filters branch or end. Levels shared by all filters below a node are in one node, so
// that a filter takes about one node, plus one for each of its wildcards.
type filterNode[V table.Item] struct {
	label    string                    // levels without wildcards from the parent to this node; unused below +
	only     *filterNode[V]            // the single named child
	children map[string]*filterNode[V] // children by the first level of their labels, if there are several
	plus     *filterNode[V]
	value    V // zero: no filter ends here
	hash     V // of the filter that ends with # below this level
}

func (t *Filters[V]) table(filter string) *table.Table[V] {
	return &t.exact[maphash.String(tableSeed, filter)%tables]
}

// Len returns the number of filters.
func (t *Filters[V]) Len() int { return t.count }

// Get returns the value of exactly this filter.
func (t *Filters[V]) Get(filter string) (v V, ok bool) {
	if !HasWildcard(filter) {
		return t.table(filter).Find(filter, every)
	}
	var none V
	n := &t.wild
	for rest, more := filter, true; more; {
		if rest == "#" {
			return n.hash, n.hash != none
		}
		if n, rest, more = n.below(rest); n == nil {
			return v, false
		}
	}
	return n.value, n.value != none
}

func every[V any](V) bool { return true }

// Set adds a filter's value or replaces it. The filter must be valid.
func (t *Filters[V]) Set(v V) {
	filter := v.Key()
	if old, had := t.Get(filter); !had {
		t.count++
	} else if !HasWildcard(filter) {
		t.table(filter).Replace(old, v)
		return
	}
	if !HasWildcard(filter) {
		t.table(filter).Add(v)
		return
	}
	n := &t.wild
	for rest, more := filter, true; more; {
		if rest == "#" {
			n.hash = v
			return
		}
		n, rest, more = n.insert(rest)
	}
	n.value = v
}

// Delete removes a filter and reports whether it was present.
func (t *Filters[V]) Delete(filter string) bool {
	v, had := t.Get(filter)
	switch {
	case !had:
		return false
	case HasWildcard(filter):
		t.wild.remove(filter)
	default:
		t.table(filter).Remove(v)
	}
	t.count--
	return true
}

// Match calls fn with the value of each filter that matches name, in no particular order.
func (t *Filters[V]) Match(name string, fn func(V)) {
	var s Search[V]
	t.Search(&s, name, math.MaxInt, fn)
}

// Search is a search for the filters that match a name. Each step visits a bounded number of the tree's nodes,
// because clients choose the tree's shape: with + in many levels one name can visit every node.
//
// The tree may change between steps. A filter present from the first step to the last is found once; one added or
// removed meanwhile is found at most once.
type Search[V table.Item] struct {
	left  int             // nodes that this step may still visit
	steps []searchStep[V] // nodes to visit in later steps
}

type searchStep[V table.Item] struct {
	node *filterNode[V]
	rest string
	more bool
}

// Search starts a search with a step of at most most nodes. It returns false if there is more to search.
func (t *Filters[V]) Search(s *Search[V], name string, most int, fn func(V)) (done bool) {
	s.left = most
	if v, ok := t.table(name).Find(name, every); ok {
		fn(v)
	}
	if name != "" && name[0] == '$' {
		if n, rest, more := t.wild.named(name); n != nil { // wildcards do not match $ in the first level [MQTT-4.7.2-1]
			n.match(s, rest, more, fn)
		}
	} else {
		t.wild.match(s, name, true, fn)
	}
	return len(s.steps) == 0
}

// Continue runs another step. It returns false if there is more to search.
func (s *Search[V]) Continue(most int, fn func(V)) (done bool) {
	s.left = most
	for len(s.steps) > 0 && s.left > 0 {
		last := len(s.steps) - 1
		next := s.steps[last]
		s.steps = s.steps[:last]
		next.node.match(s, next.rest, next.more, fn)
	}
	return len(s.steps) == 0
}

// Left returns the unused nodes of the last step.
func (s *Search[V]) Left() int { return max(s.left, 0) }

// match continues below n with the rest of the name; more is false at its end.
func (n *filterNode[V]) match(s *Search[V], rest string, more bool, fn func(V)) {
	if s.left--; s.left < 0 {
		s.steps = append(s.steps, searchStep[V]{n, rest, more})
		return
	}
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
	if n.only != nil || n.children != nil {
		if c, left, deeper := n.named(rest); c != nil {
			c.match(s, left, deeper, fn)
		}
	}
	if n.plus != nil {
		if i := strings.IndexByte(rest, '/'); i >= 0 {
			n.plus.match(s, rest[i+1:], true, fn)
		} else {
			n.plus.match(s, "", false, fn)
		}
	}
}

// named returns the named child on the path to rest, and the part of rest below it.
func (n *filterNode[V]) named(rest string) (c *filterNode[V], left string, more bool) {
	c = n.only
	if n.children != nil {
		c = n.children[first(rest)]
	}
	if c == nil || !strings.HasPrefix(rest, c.label) {
		return nil, "", false
	}
	switch length := len(c.label); {
	case len(rest) == length:
		return c, "", false
	case rest[length] == '/':
		return c, rest[length+1:], true
	}
	return nil, "", false
}

// below is named for the rest of a filter, which may continue with +.
func (n *filterNode[V]) below(rest string) (c *filterNode[V], left string, more bool) {
	if level, left, more := strings.Cut(rest, "/"); level == "+" {
		return n.plus, left, more
	}
	return n.named(rest)
}

// insert is below, and adds the node if it is missing.
func (n *filterNode[V]) insert(rest string) (c *filterNode[V], left string, more bool) {
	if level, left, more := strings.Cut(rest, "/"); level == "+" {
		if n.plus == nil {
			n.plus = new(filterNode[V])
		}
		return n.plus, left, more
	}
	run := rest[:untilWildcard(rest)]
	c = n.only
	if n.children != nil {
		c = n.children[first(run)]
	}
	if c == nil || n.children == nil && first(c.label) != first(run) {
		c = &filterNode[V]{label: strings.Clone(run)}
		n.addChild(c)
	} else if k := commonLevels(run, c.label); k < len(c.label) {
		above := &filterNode[V]{label: strings.Clone(c.label[:k]), only: c}
		c.label = strings.Clone(c.label[k+1:]) // unfinished searches may hold nodes and have matched their labels
		n.replaceChild(above)
	}
	return n.named(rest)
}

// addChild adds a child whose first level is new.
func (n *filterNode[V]) addChild(c *filterNode[V]) {
	switch {
	case n.children != nil:
		n.children[first(c.label)] = c
	case n.only != nil:
		n.children = map[string]*filterNode[V]{first(n.only.label): n.only, first(c.label): c}
		n.only = nil
	default:
		n.only = c
	}
}

// replaceChild replaces the child with the same first level.
func (n *filterNode[V]) replaceChild(c *filterNode[V]) {
	if n.children == nil {
		n.only = c
		return
	}
	n.children[first(c.label)] = c
}

// removeChild removes a child.
func (n *filterNode[V]) removeChild(c *filterNode[V]) {
	switch {
	case n.plus == c:
		n.plus = nil
	case n.only == c:
		n.only = nil
	default:
		delete(n.children, first(c.label))
		if len(n.children) > 1 {
			return
		}
		for _, n.only = range n.children {
		}
		n.children = nil
	}
}

// remove removes an existing filter below n, and prunes empty nodes.
func (n *filterNode[V]) remove(filter string) {
	var none V
	if filter == "#" {
		n.hash = none
		return
	}
	c, rest, more := n.below(filter)
	if more {
		c.remove(rest)
	} else {
		c.value = none
	}
	if c.empty() {
		n.removeChild(c)
	}
}

func (n *filterNode[V]) empty() bool {
	var none V
	return n.value == none && n.hash == none && n.plus == nil && n.only == nil && n.children == nil
}
