package broker

import (
	"testing"
	"unsafe"
)

// TestSizeOfAConnection holds what an idle connection and its session cost in the allocator's size classes: compression adds to those
// who have agreed to it, and to nobody else.
func TestSizeOfAConnection(t *testing.T) {
	for _, k := range []struct {
		what       string
		size, most uintptr
	}{
		{"connection", unsafe.Sizeof(conn{}), 384},
		{"session", unsafe.Sizeof(session{}), 352},
		{"WebSocket", unsafe.Sizeof(webSocket{}), 80},
		{"agreed compression", unsafe.Sizeof(deflation{}), 144},
	} {
		if k.size > k.most {
			t.Errorf("%s: %d bytes, at most %d", k.what, k.size, k.most)
		}
	}
}
