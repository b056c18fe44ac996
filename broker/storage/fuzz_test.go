package storage_test

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/outcry-mqtt/outcry/broker/storage"
)

// FuzzRecord parses any bytes as a record of each kind: it is refused, or it is the same after it was written and read again. Its
// lists are no longer than the bytes that they were read from.
func FuzzRecord(f *testing.F) {
	addCorpus(f)
	for _, g := range goldens {
		f.Add(uint8(g.space), string(unhex(f, g.key)), unhex(f, g.value))
	}
	f.Fuzz(func(t *testing.T, space uint8, key string, value []byte) {
		if int(space) >= storage.Spaces {
			return
		}
		first, again := newRecord(storage.Space(space)), newRecord(storage.Space(space))
		if err := first.Parse(key, value); err != nil {
			return
		}
		if n := items(first); n > len(value) {
			t.Errorf("%d items of %d bytes", n, len(value))
		}
		if storage.Space(space) != storage.SpaceNotes && first.Key() != key {
			t.Errorf("key %q, want %q", first.Key(), key)
		}
		written := first.Append(nil)
		if err := again.Parse(key, written); err != nil || !reflect.DeepEqual(first, again) {
			t.Errorf("written and read again it is\n%+v, %v, want\n%+v", again, err, first)
		}
		if got := again.Append(nil); !bytes.Equal(got, written) {
			t.Errorf("written again it is\n%x, want\n%x", got, written)
		}
	})
}

// items is how many items the lists of a record have.
func items(r record) (n int) {
	switch r := r.(type) {
	case *storage.Flow:
		n = len(r.Outgoing) + len(r.Received) + len(r.Losses.Counts) + len(r.Forgone)
	case *storage.Message:
		n = len(r.Targets)
		for _, t := range r.Targets {
			n += len(t.IDs)
		}
	}
	return n
}
