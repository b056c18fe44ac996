package boltstore

import (
	"cmp"
	"slices"
	"strings"

	"github.com/outcry-mqtt/outcry/broker/storage"
)

const (
	// chunkOps and chunkBytes bound the part of a window in one transaction, so that commits need not wait for all of
	// it.
	chunkOps   = 8192
	chunkBytes = 16 << 20
)

// laterKey identifies a later op.
type laterKey struct {
	space storage.Space
	key   string
}

// laterOp is an op passed to Later, with its sequence number.
type laterOp struct {
	op  storage.Op
	seq uint64
}

// window holds the later ops whose window has ended, in the order of their keys, because neighbours share pages. It
// belongs to the writer: new ops go into the next one.
type window []laterOp

func newWindow(later map[laterKey]laterOp) window {
	w := make(window, 0, len(later))
	for _, l := range later {
		w = append(w, l)
	}
	slices.SortFunc(w, func(a, b laterOp) int { return compareOps(a.op, b.op) })
	return w
}

func compareOps(a, b storage.Op) int {
	return cmp.Or(cmp.Compare(a.Space, b.Space), strings.Compare(a.Key, b.Key))
}

// chunk returns the part of w for the next transaction.
func (w window) chunk() window {
	bytes := int64(0)
	for i, l := range w {
		if i == chunkOps || bytes >= chunkBytes {
			return w[:i]
		}
		bytes += bytesOf(l.op)
	}
	return w
}

// overtake drops the op with op's key, if it is older than seq.
func (w window) overtake(op storage.Op, seq uint64) {
	i, found := slices.BinarySearchFunc(w, op, func(l laterOp, op storage.Op) int { return compareOps(l.op, op) })
	if found && w[i].seq < seq {
		w[i].seq = 0
	}
}

func (w window) bytes() (n int64) {
	for _, l := range w {
		n += bytesOf(l.op)
	}
	return n
}
