// Package table keeps items that know their own key, and finds them by it. It never looks at what else they are.
package table

import (
	"hash/maphash"
	"iter"
	"math/bits"
)

// Item is something that knows its key, which must not change while it is in a table. The zero value is no item.
type Item interface {
	comparable
	Key() string
}

// few is how many items are just looked through, in the order in which they came.
const few = 8

// Table is a set of items. It takes a word for each and half a word of room, where a map would take the key as well. Several
// items may have the same key. The zero value is empty and ready. It is not safe for concurrent use while it is changed.
type Table[T Item] struct {
	slots []T // at most few: the items; more: by hash, zero where free
	count int
}

var seed = maphash.MakeSeed()

// home is where an item with a key would stand if all places were free.
func (t *Table[T]) home(key string) int {
	hi, _ := bits.Mul64(maphash.String(seed, key), uint64(len(t.slots)))
	return int(hi)
}

func (t *Table[T]) next(i int) int {
	if i++; i < len(t.slots) {
		return i
	}
	return 0
}

func (t *Table[T]) hashed() bool { return len(t.slots) > few }

// Len is the number of items.
func (t *Table[T]) Len() int { return t.count }

// Find returns the first item with a key that is accepted; false if there is none.
func (t *Table[T]) Find(key string, accept func(T) bool) (item T, ok bool) {
	if i := t.find(key, accept); i >= 0 {
		return t.slots[i], true
	}
	return item, false
}

func (t *Table[T]) find(key string, accept func(T) bool) int {
	var none T
	if !t.hashed() {
		for i, item := range t.slots {
			if item.Key() == key && accept(item) {
				return i
			}
		}
		return -1
	}
	for i := t.home(key); t.slots[i] != none; i = t.next(i) {
		if item := t.slots[i]; item.Key() == key && accept(item) {
			return i
		}
	}
	return -1
}

// Add adds an item that is not there.
func (t *Table[T]) Add(item T) {
	t.count++
	if t.count <= few && !t.hashed() {
		t.slots = append(t.slots, item)
		return
	}
	if t.count > len(t.slots)/4*3 {
		t.resize(t.count * 2)
	}
	t.place(item)
}

// resize makes so many places, more than few.
func (t *Table[T]) resize(places int) {
	var none T
	old := t.slots
	t.slots = make([]T, places)
	for _, item := range old {
		if item != none {
			t.place(item)
		}
	}
}

func (t *Table[T]) place(item T) {
	var none T
	i := t.home(item.Key())
	for t.slots[i] != none {
		i = t.next(i)
	}
	t.slots[i] = item
}

// Replace puts an item with the same key in the place of one that is there.
func (t *Table[T]) Replace(old, item T) {
	if i := t.find(old.Key(), func(x T) bool { return x == old }); i >= 0 {
		t.slots[i] = item
	}
}

// Remove removes an item and tells whether it was there.
func (t *Table[T]) Remove(item T) bool {
	i := t.find(item.Key(), func(x T) bool { return x == item })
	if i < 0 {
		return false
	}
	t.count--
	if t.hashed() {
		t.free(i)
		t.shrink()
		return true
	}
	var none T
	last := len(t.slots) - 1
	t.slots[i], t.slots[last] = t.slots[last], none
	t.slots = t.slots[:last]
	return true
}

// free empties a place, and fills it with an item behind it that would rather stand there, and so on.
func (t *Table[T]) free(gap int) {
	var none T
	for i := t.next(gap); t.slots[i] != none; i = t.next(i) {
		home := t.home(t.slots[i].Key())
		if between := gap < i && home > gap && home <= i || gap > i && (home > gap || home <= i); !between {
			t.slots[gap] = t.slots[i]
			gap = i
		}
	}
	t.slots[gap] = none
}

// shrink gives memory back when few of the places are taken.
func (t *Table[T]) shrink() {
	switch {
	case t.count == 0:
		t.slots = nil
	case t.count < len(t.slots)/8 && t.count > few:
		t.resize(t.count * 2)
	}
}

// All is every item, in no order. The table must not be changed meanwhile.
func (t *Table[T]) All() iter.Seq[T] {
	return func(yield func(T) bool) {
		var none T
		for _, item := range t.slots {
			if item != none && !yield(item) {
				return
			}
		}
	}
}
