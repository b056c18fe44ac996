package broker

import (
	"fmt"
	"strings"
	"testing"
)

// TestTopicsAreForgottenByTheirSize has a shard see more long topics than it may remember.
func TestTopicsAreForgottenByTheirSize(t *testing.T) {
	b, err := New(Options{Shards: 1, Limits: Limits{MaxTopicCacheBytes: 1 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	defer b.closeShards()
	s := b.shards[0]
	long := strings.Repeat("x", 4000)
	for i := range 2 * s.topics.room / len(long) {
		s.topics.of(fmt.Sprint(long, i)).interest(s)
		if bytes := len(s.topics.routes) * len(long); bytes > s.topics.room+len(long) {
			t.Fatalf("%d topics with %d bytes are remembered", len(s.topics.routes), bytes)
		}
		if st := b.Stats(); st.TopicsCached != int64(len(s.topics.routes)) || st.TopicCacheBytes < st.TopicsCached*int64(len(long)) ||
			st.TopicCacheBytes > 1<<20+int64(len(long))+1000 {
			t.Fatalf("%d topics of %d bytes are told", st.TopicsCached, st.TopicCacheBytes)
		}
	}
}
