package broker

import (
	"testing"
	"time"
)

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
