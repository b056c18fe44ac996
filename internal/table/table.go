// Package table is a hash table of items that know their own key. It reads nothing else of an item.
package table

import (
	"hash/maphash"
	"iter"
	"math/bits"
)

// Item is an element with a key, which must not change while it is in a table. The zero value is no item.
type Item interface {
	comparable
	Key() string
}

// few is the largest number of items kept as a list, in the order of Add, and searched one by one.
const few = 8

// Table is a set of items. It takes one word per item plus half a word of free space; a map would also store the key.
// Several items may have the same key. The zero value is empty and ready. It is not safe for concurrent use while it
// is changed.
type Table[T Item] struct {
	slots []T // up to few: the items in a list; beyond: a hash table, zero slots are free
	count int
}

var seed = maphash.MakeSeed()

// home returns the slot of a key in an empty table.
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

// Find returns the first item with this key that accept accepts; false if there is none.
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

// Add adds an item, which must not be in the table yet.
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

// resize changes to a hash table with that many slots, more than few.
func (t *Table[T]) resize(slots int) {
	var none T
	old := t.slots
	t.slots = make([]T, slots)
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

// Replace puts item in the slot of old, which has the same key.
func (t *Table[T]) Replace(old, item T) {
	if i := t.find(old.Key(), func(x T) bool { return x == old }); i >= 0 {
		t.slots[i] = item
	}
}

// Remove removes an item and reports whether it was in the table.
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

// free empties a slot and moves later items of its probe sequence forward.
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

// shrink reduces the table when few slots are taken.
func (t *Table[T]) shrink() {
	switch {
	case t.count == 0:
		t.slots = nil
	case t.count < len(t.slots)/8 && t.count > few:
		t.resize(t.count * 2)
	}
}

// All iterates over every item, in no order. The table must not be changed meanwhile.
func (t *Table[T]) All() iter.Seq[T] {
	return func(yield func(T) bool) {
		for _, item := range t.From(0) {
			if !yield(item) {
				return
			}
		}
	}
}

// From iterates over the items from a slot on, 0 for the first, with their slots. The slots are valid until the table
// changes.
func (t *Table[T]) From(place int) iter.Seq2[int, T] {
	return func(yield func(int, T) bool) {
		var none T
		for at := place; at < len(t.slots); at++ {
			if item := t.slots[at]; item != none && !yield(at, item) {
				return
			}
		}
	}
}
