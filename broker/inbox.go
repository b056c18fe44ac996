package broker

import "sync"

// A post is work for a shard from another goroutine.
type post interface{ run(s *shard) }

// call is a post made of a function.
type call func(s *shard)

func (f call) run(s *shard) { f(s) }

// question is a post with a waiting caller. It is answered even if the shard closes first: then the shard's loop has ended, and no
// other goroutine uses the shard.
type question struct {
	s        *shard
	ask      func(s *shard)
	answered chan struct{}
}

func (q *question) run(s *shard) {
	q.ask(s)
	close(q.answered)
}

func (q *question) drop() { q.run(q.s) }

// await runs ask in one of the shard's turns and waits for it; false: the shard has closed. No shard may call it.
func (s *shard) await(ask func(s *shard)) bool {
	q := &question{s, ask, make(chan struct{})}
	if !s.post(q) {
		return false
	}
	<-q.answered
	return true
}

// inbox holds a shard's new posts. Posting never waits for the shard.
type inbox struct {
	mu     sync.Mutex // guards the fields below; held for an append or a swap only
	posts  []post
	closed bool
}

// put adds a post. It returns false once the shard has ended: the post will not run.
func (in *inbox) put(p post) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closed {
		return false
	}
	in.posts = append(in.posts, p)
	return true
}

// take returns all posts. spare, whose posts have run, becomes the inbox's next buffer.
func (in *inbox) take(spare []post) []post {
	in.mu.Lock()
	defer in.mu.Unlock()
	taken := in.posts
	in.posts = spare[:0]
	return taken
}

// close refuses further posts and returns the remaining ones.
func (in *inbox) close() []post {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.closed = true
	taken := in.posts
	in.posts = nil
	return taken
}

func (in *inbox) empty() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return len(in.posts) == 0
}
