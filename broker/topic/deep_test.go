package topic_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/broker/topic"
)

// TestDeepTreesAreSmall checks that filters and names of many levels take their text and a node or two each.
func TestDeepTreesAreSmall(t *testing.T) {
	const n, levels = 1000, 112
	deep := strings.Repeat("a/", levels)
	var fs topic.Filters[text]
	var ns topic.Names[int]
	for _, tt := range []struct {
		name string
		most int // bytes per entry, with its text
		set  func(i int)
	}{
		{"filters that part at the first level", 1000, func(i int) { fs.Set(text(fmt.Sprint(i, "/", deep, "#"))) }},
		{"filters that part at the last level", 500, func(i int) { fs.Set(text(fmt.Sprint("x/", deep, i, "/#"))) }},
		{"filters with a wildcard in every other level", 112 * 100, func(i int) { fs.Set(text(fmt.Sprint("y/", i, strings.Repeat("/+/a", levels/2)))) }},
		{"names that part at the first level", 1000, func(i int) { ns.Set(fmt.Sprint(i, "/", deep), i) }},
		{"names that part at the last level", 800, func(i int) { ns.Set(fmt.Sprint("x/", deep, i), i) }},
		{"names that part on the way", 1000, func(i int) { ns.Set(fmt.Sprint(deep[:i%levels*2], i, deep[i%levels*2:]), i) }},
	} {
		before := heap()
		for i := range n {
			tt.set(i)
		}
		if each := (heap() - before) / n; each > tt.most {
			t.Errorf("%s: %d bytes each, %d are allowed", tt.name, each, tt.most)
		} else {
			t.Logf("%s: %d bytes each", tt.name, each)
		}
	}
	runtime.KeepAlive(&fs)
	runtime.KeepAlive(&ns)
}

// TestNamesThatHaveGoneTakeNothing splits a deep name at every level by other names, and deletes those.
func TestNamesThatHaveGoneTakeNothing(t *testing.T) {
	const n, levels = 100, 100
	deep := strings.Repeat("a/", levels)
	var ns topic.Names[int]
	add := func(change func(name string)) {
		for i := range n {
			for k := range levels {
				change(fmt.Sprint(i, "/", deep[:2*k], "b"))
			}
		}
	}
	for i := range n {
		ns.Set(fmt.Sprint(i, "/", deep), i)
	}
	before := heap()
	add(func(name string) { ns.Set(name, 0) })
	with := heap() - before
	add(func(name string) { ns.Delete(name) })
	if left := heap() - before; left > with/10 {
		t.Errorf("%d bytes are left of %d", left, with)
	}
	runtime.KeepAlive(&ns)
}

func heap() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}
