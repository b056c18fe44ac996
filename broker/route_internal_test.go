package broker

import (
	"fmt"
	"strings"
	"testing"
)

// TestTopicsAreForgottenByTheirSize has a shard see more long topics than it may remember.
func TestTopicsAreForgottenByTheirSize(t *testing.T) {
	b, err := New(Options{Shards: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer b.closeShards()
	s := b.shards[0]
	s.routeRoom = minRouteBytes
	long := strings.Repeat("x", 4000)
	for i := range 2 * s.routeRoom / len(long) {
		s.routeOf(fmt.Sprint(long, i)).interest(s)
		if bytes := len(s.routes) * len(long); bytes > s.routeRoom+len(long) {
			t.Fatalf("%d topics with %d bytes are remembered", len(s.routes), bytes)
		}
	}
}
