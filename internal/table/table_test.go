package table_test

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"github.com/outcry-mqtt/outcry/internal/table"
)

type item struct{ key string }

func (i *item) Key() string { return i.key }

// check compares a table with the expected items.
func check(t *testing.T, got *table.Table[*item], want []*item) {
	t.Helper()
	if got.Len() != len(want) {
		t.Fatalf("%d items, want %d", got.Len(), len(want))
	}
	seen := map[*item]int{}
	for x := range got.All() {
		seen[x]++
	}
	for _, x := range want {
		if found, ok := got.Find(x.key, func(y *item) bool { return y == x }); !ok || found != x || seen[x] != 1 {
			t.Fatalf("of %q: found %v, seen %d times", x.key, ok, seen[x])
		}
	}
	if len(seen) != len(want) {
		t.Fatalf("%d items seen, want %d", len(seen), len(want))
	}
}

// TestTableAgainstList adds, replaces and removes at random, with few keys so that they collide, and compares with a
// list.
func TestTableAgainstList(t *testing.T) {
	t.Parallel()
	for _, size := range []int{3, 8, 9, 20, 300} {
		t.Run(strconv.Itoa(size), func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, uint64(size)))
			var all table.Table[*item]
			var list []*item
			for range 3000 {
				i := 0
				if len(list) > 0 {
					i = random.IntN(len(list))
				}
				switch what := random.IntN(9); {
				case len(list) == 0 || what < 4 && len(list) < size:
					x := &item{strconv.Itoa(random.IntN(size))}
					all.Add(x)
					list = append(list, x)
				case what < 5:
					x := &item{list[i].key}
					all.Replace(list[i], x)
					list[i] = x
				default:
					if !all.Remove(list[i]) || all.Remove(list[i]) {
						t.Fatalf("Remove(%q)", list[i].key)
					}
					list = slices.Delete(list, i, i+1)
				}
				check(t, &all, list)
			}
			for _, x := range list {
				all.Remove(x)
			}
			check(t, &all, nil)
		})
	}
}

func TestTableGrows(t *testing.T) {
	t.Parallel()
	var all table.Table[*item]
	var list []*item
	for i := range 5000 {
		x := &item{"topic/" + strconv.Itoa(i)}
		all.Add(x)
		list = append(list, x)
	}
	check(t, &all, list)
	for _, x := range list[100:] {
		all.Remove(x)
	}
	check(t, &all, list[:100])
}

func TestTableKeepsItemsOfOneKeyApart(t *testing.T) {
	t.Parallel()
	var all table.Table[*item]
	var list []*item
	for range 30 {
		x := &item{"same"}
		all.Add(x)
		list = append(list, x)
	}
	check(t, &all, list)
	if _, ok := all.Find("same", func(*item) bool { return false }); ok {
		t.Error("an item that was not accepted")
	}
	if _, ok := all.Find("other", func(*item) bool { return true }); ok {
		t.Error("an item of another key")
	}
}
