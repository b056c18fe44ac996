package topic_test

import (
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/broker/topic"
)

// FuzzSearchesInSteps runs searches for filters and for names in steps of various sizes while both trees change. An
// entry present from the first step to the last is found once, every result matches, and no filter is found twice.
// After every search the trees agree with Match.
func FuzzSearchesInSteps(f *testing.F) {
	addCorpus(f)
	f.Add([]byte("\x00\x01\x02\x03\x10\x21\x32\x43\x54\x65\x76\x07"))
	f.Add([]byte("aaaabbbb++++####aa+ab+#ba"))
	f.Add([]byte(strings.Repeat("\x11\x92\x13\x84", 12)))
	f.Add([]byte("\xff\x80\x40\x20\x10\x08\x04\x02\x01\x00\xfe\xdc\xba\x98"))
	f.Fuzz(func(t *testing.T, program []byte) {
		if len(program) > 300 {
			return
		}
		w := &changingTrees{t: t, program: program}
		for len(w.program) > 0 {
			if w.next()%2 == 0 {
				w.searchFilters()
			} else {
				w.searchNames()
			}
		}
	})
}

// changingTrees holds both trees and their expected contents.
type changingTrees struct {
	t       *testing.T
	program []byte
	filters topic.Filters[text]
	names   topic.Names[string]
	isIn    map[string]bool // filters and names
	changed map[string]bool // since the search began
}

func (w *changingTrees) next() byte {
	if len(w.program) == 0 {
		return 0
	}
	b := w.program[0]
	w.program = w.program[1:]
	return b
}

// topic returns one to five of a few distinct levels. Those of names have no wildcards.
func (w *changingTrees) topic(levels ...string) string {
	n := int(w.next())
	parts := []string{levels[n>>4%len(levels)], "a", "a", levels[n%len(levels)]}[4-(1+n%4):]
	for n >>= 6; n > 0; n-- {
		parts = append(parts, levels[int(w.next())%len(levels)])
	}
	return strings.Join(parts, "/")
}

func (w *changingTrees) filter() string { return w.topic("a", "+", "b", "#", "", "+", "$x") }
func (w *changingTrees) name() string   { return w.topic("a", "b", "", "$x") }

// change adds or removes a filter or a name.
func (w *changingTrees) change() {
	if w.isIn == nil {
		w.isIn = map[string]bool{}
	}
	toggle := func(key string, set func(), remove func(string) bool) {
		if w.isIn[key] != remove(key) {
			w.t.Fatalf("%q: removed %v", key, !w.isIn[key])
		}
		if w.isIn[key] = !w.isIn[key]; w.isIn[key] {
			set()
		}
		w.changed[key] = true
	}
	if f := w.filter(); topic.CheckFilter(f) == nil && topic.HasWildcard(f) {
		toggle(f, func() { w.filters.Set(text(f)) }, w.filters.Delete)
	}
	if n := w.name(); n != "" {
		toggle(n, func() { w.names.Set(n, n) }, w.names.Delete)
	}
}

// searchFilters searches while filters change, and checks the results.
func (w *changingTrees) searchFilters() {
	name := w.name()
	found := map[string]int{}
	take := func(f text) { found[string(f)]++ }
	w.changed = map[string]bool{}
	w.change()
	var s topic.Search[text]
	w.changed = map[string]bool{}
	for done := w.filters.Search(&s, name, w.most(), take); !done; done = s.Continue(w.most(), take) {
		w.change()
	}
	w.check(found, func(filter string) bool { return topic.HasWildcard(filter) && topic.Match(filter, name) }, 1)
	clear(found)
	w.filters.Match(name, take)
	w.changed = nil
	w.check(found, func(filter string) bool { return topic.HasWildcard(filter) && topic.Match(filter, name) }, 1)
}

// searchNames searches while names change, and checks the results.
func (w *changingTrees) searchNames() {
	filter := w.filter()
	if topic.CheckFilter(filter) != nil {
		filter = "+/#"
	}
	found := map[string]int{}
	take := func(name, value string) {
		if name != value {
			w.t.Fatalf("the value of %q is %q", name, value)
		}
		found[name]++
	}
	matches := func(name string) bool { return !topic.HasWildcard(name) && topic.Match(filter, name) }
	w.changed = map[string]bool{}
	w.change()
	var s topic.NameSearch
	w.changed = map[string]bool{}
	for done := w.names.Search(&s, filter, w.most(), take); !done; done = w.names.Continue(&s, w.most(), take) {
		w.change()
	}
	w.check(found, matches, 1<<20)
	clear(found)
	w.names.Match(filter, func(name, value string) bool { take(name, value); return true })
	w.changed = nil
	w.check(found, matches, 1)
}

// most returns the number of nodes that a step visits.
func (w *changingTrees) most() int { return 1 + int(w.next()%5) }

// check compares a search's results with the tree.
func (w *changingTrees) check(found map[string]int, matches func(string) bool, most int) {
	w.t.Helper()
	for key, n := range found {
		if !matches(key) || n > most || !w.isIn[key] && !w.changed[key] {
			w.t.Fatalf("%q was found %d times", key, n)
		}
	}
	for key, is := range w.isIn {
		if is && !w.changed[key] && matches(key) && found[key] != 1 {
			w.t.Fatalf("%q was found %d times", key, found[key])
		}
	}
}
