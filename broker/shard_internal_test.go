package broker

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unsafe"
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

// TestQuestionsAreAnsweredAtTheEnd holds that whoever asks a shard for figures while the broker ends is not left waiting: it holds
// the lock that the end needs.
func TestQuestionsAreAnsweredAtTheEnd(t *testing.T) {
	t.Parallel()
	b, err := New(Options{Shards: 1})
	if err != nil {
		t.Fatal(err)
	}
	s, asked, answered := b.shards[0], false, make(chan bool)
	go func() { answered <- s.await(func(*shard) { asked = true }) }()
	for end := time.Now().Add(time.Minute); s.in.empty(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the question was not posted")
		}
	}
	s.close()
	select {
	case ok := <-answered:
		if !ok || !asked {
			t.Errorf("answered %v, asked %v", ok, asked)
		}
	case <-time.After(time.Minute):
		t.Fatal("the question was not answered")
	}
	if s.await(func(*shard) { t.Error("a shard that has closed was asked") }) {
		t.Error("a shard that has closed has answered")
	}
}

// BenchmarkKeep is what a message costs that somebody has to keep: the most of what QoS 1 costs.
func BenchmarkKeep(b *testing.B) {
	for _, c := range []struct {
		name    string
		payload []byte
	}{{"64 bytes", make([]byte, 64)}, {"200 bytes", make([]byte, 200)}} {
		b.Run(c.name, func(b *testing.B) {
			m := message{topic: "t", payload: c.payload}
			b.ReportAllocs()
			for b.Loop() {
				m.own = nil
				m.ownCopy()
			}
		})
	}
}

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
