package topic_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/broker/topic"
)

// TestSearchInSteps compares searches of every step size with a search in one step, on a tree in which one name
// visits many nodes.
func TestSearchInSteps(t *testing.T) {
	t.Parallel()
	var fs topic.Filters[text]
	for i := range 1 << 10 {
		fs.Set(text(choices(i, 10, "a", "+") + "/z"))
	}
	fs.Set("#")
	name := strings.Repeat("a/", 10) + "z"
	for _, most := range []int{1, 2, 7, 100, 1 << 20} {
		var s topic.Search[text]
		var got []text
		take := func(f text) { got = append(got, f) }
		steps := 1
		for done := fs.Search(&s, name, most, take); !done; steps++ {
			done = s.Continue(most, take)
		}
		slices.Sort(got)
		if n := len(slices.Compact(got)); n != 1<<10+1 {
			t.Errorf("steps of %d nodes found %d filters", most, n)
		}
		if visited := 1<<11 + 1<<10; steps < visited/2/most || steps > visited/most+2 {
			t.Errorf("steps of %d nodes: %d of them", most, steps)
		}
	}
}

// TestSearchInAChangingTree adds and removes filters between the steps of a search: permanent ones are found once,
// the others at most once.
func TestSearchInAChangingTree(t *testing.T) {
	t.Parallel()
	name := strings.Repeat("a/", 7) + "a"
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		var fs topic.Filters[text]
		stay, other := map[text]int{}, map[text]int{}
		for i := range 1 << 8 {
			f := text(choices(i, 8, "a", "+"))
			if random.IntN(2) == 0 {
				stay[f] = 0
				fs.Set(f)
			} else {
				other[f] = 0
			}
		}
		count := func(f text) {
			if _, stays := stay[f]; stays {
				stay[f]++
			} else {
				other[f]++
			}
		}
		var s topic.Search[text]
		for done := fs.Search(&s, name, 3, count); !done; done = s.Continue(3, count) {
			f := text(choices(random.IntN(1<<8), 8, "a", "+"))
			if _, stays := stay[f]; !stays && !fs.Delete(string(f)) {
				fs.Set(f)
			}
		}
		for f, n := range stay {
			if n != 1 {
				t.Fatalf("seed %d: %s was found %d times", seed, f, n)
			}
		}
		for f, n := range other {
			if n > 1 {
				t.Fatalf("seed %d: %s, which came and went, was found %d times", seed, f, n)
			}
		}
	}
}

// choices returns a filter whose levels are zero or one, chosen by the bits of i.
func choices(i, levels int, zero, one string) string {
	parts := make([]string, levels)
	for k := range parts {
		parts[k] = []string{zero, one}[i>>k&1]
	}
	return strings.Join(parts, "/")
}

// BenchmarkSearchManyNodes searches for a name that visits every node of the tree.
func BenchmarkSearchManyNodes(b *testing.B) {
	for _, levels := range []int{8, 13, 16} {
		b.Run(fmt.Sprint(levels), func(b *testing.B) {
			var fs topic.Filters[text]
			for i := range 1 << levels {
				fs.Set(text(choices(i, levels, "a", "+")))
			}
			name := strings.TrimSuffix(strings.Repeat("a/", levels), "/")
			for b.Loop() {
				fs.Match(name, func(text) {})
			}
		})
	}
}

// TestNameSearchInSteps compares searches of every step size with Match.
func TestNameSearchInSteps(t *testing.T) {
	t.Parallel()
	var ns topic.Names[string]
	for _, n := range alphabet([]string{"", "a", "b", "$x"}, 4) {
		ns.Set(n, n)
	}
	for _, filter := range []string{"#", "+/#", "a/#", "a/+/b", "+/+", "$x/#", "+/b/#", "a/b/a", "a/a/a/+", "+/+/+/c"} {
		want := map[string]int{}
		ns.Match(filter, func(name, _ string) bool { want[name]++; return true })
		for _, most := range []int{1, 3, 50, 1 << 20} {
			got := map[string]int{}
			take := func(name, v string) {
				if name != v {
					t.Fatalf("value of %q is %q", name, v)
				}
				got[name]++
			}
			var s topic.NameSearch
			for done := ns.Search(&s, filter, most, take); !done; done = ns.Continue(&s, most, take) {
			}
			if !maps.Equal(got, want) {
				t.Errorf("%s in steps of %d: got %v, want %v", filter, most, got, want)
			}
		}
	}
}

// TestNameSearchWhileNamesChange adds and removes names between the steps: permanent ones are found once.
func TestNameSearchWhileNamesChange(t *testing.T) {
	t.Parallel()
	for seed := range uint64(100) {
		random := rand.New(rand.NewPCG(seed, 2))
		var ns topic.Names[int]
		name := func(i int) string { return fmt.Sprintf("%d/%d/%d", i%7, i%11, i) }
		for i := range 1000 {
			ns.Set(name(i), i)
		}
		found := make([]int, 2000)
		take := func(_ string, i int) { found[i]++ }
		var s topic.NameSearch
		for done := ns.Search(&s, "+/+/#", 20, take); !done; done = ns.Continue(&s, 20, take) {
			if i := random.IntN(2000); i%2 == 1 && !ns.Delete(name(i)) {
				ns.Set(name(i), i)
			}
		}
		for i := 0; i < 1000; i += 2 {
			if found[i] != 1 {
				t.Fatalf("seed %d: %s was found %d times", seed, name(i), found[i])
			}
		}
	}
}
