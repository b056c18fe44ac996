package broker

import "sync"

// A post is something for a shard to do, from another goroutine.
type post interface{ run(s *shard) }

// call is a post made of a function.
type call func(s *shard)

func (f call) run(s *shard) { f(s) }

// inbox is what others want of a shard. Posting never waits for the shard.
type inbox struct {
	mu     sync.Mutex // guards what follows; held for an append or a swap only
	posts  []post
	closed bool
}

// put adds a post; it returns false once the shard has ended, and then the post will not run.
func (in *inbox) put(p post) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closed {
		return false
	}
	in.posts = append(in.posts, p)
	return true
}

// take returns everything posted and leaves spare, emptied, to be filled next.
func (in *inbox) take(spare []post) []post {
	in.mu.Lock()
	defer in.mu.Unlock()
	taken := in.posts
	in.posts = spare[:0]
	return taken
}

// close refuses further posts and returns those that were not taken.
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
