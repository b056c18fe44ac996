package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/outcry-mqtt/outcry/broker/guard"
	"github.com/outcry-mqtt/outcry/broker/poller"
	"github.com/outcry-mqtt/outcry/broker/wire"
)

// ErrClosed is returned once the broker has been stopped.
var ErrClosed = errors.New("broker: closed")

// ErrRunning is returned by Run if the broker runs already.
var ErrRunning = errors.New("broker: running already")

// Broker carries messages between the connections that it is handed. Make one with New, run it with Run.
type Broker struct {
	// Static after construction.
	options        Options
	limits         Limits
	log            *slog.Logger
	clock          clock
	store          Store // nil: memory only
	shards         []*shard
	router         router
	retained       retained
	authenticators []Authenticator
	authorizers    []Authorizer
	admitters      []Admitter
	interceptors   []PublishInterceptor
	policies       TopicPolicy // nil: every topic drops the oldest
	observers      *observers  // nil: nobody observes
	sys            *sys
	gate           gate
	guard          *guard.Guard
	rates          atomic.Pointer[rates]
	maxConnections atomic.Int64
	limiting       limiting
	checking       context.Context // of the checkers; set by Run
	counters       counters
	stop           chan struct{} // closed by the first Shutdown, or when Run's context ends
	stopOnce       sync.Once
	done           chan struct{} // closed when Run has ended

	// Shared.
	rulesGen    atomic.Uint64
	queued      atomic.Int64  // messages in all queues
	queuedBytes atomic.Int64  // of them
	lastSession atomic.Uint64 // the last number of a durable session
	lastMessage atomic.Uint64 // the last number of a stored message
	connections atomic.Int64
	turn        atomic.Uint64  // of the shards, for new connections
	streams     sync.WaitGroup // the goroutines of streams
	crowded     atomic.Int64   // when a shard last wrote to many connections in a turn, on the broker's clock

	mu    sync.RWMutex // guards state
	state runState
}

type runState uint8

const (
	stateReady runState = iota
	stateRunning
	stateEnded
)

// New returns a broker with what its store remembers. It fails if a hook is not one, or if the store cannot be read.
func New(o Options) (*Broker, error) {
	o.setDefaults()
	b := &Broker{
		options: o, limits: o.Limits, log: o.Logger, clock: clock{began: time.Now()}, store: o.Store,
		stop: make(chan struct{}), done: make(chan struct{}),
	}
	b.gate.more.L = &b.gate.mu
	b.guard = guard.New(o.Limits.Guard)
	b.setLimits(&b.limits)
	b.counters.auths = make(map[string]uint64)
	b.retained.store, b.retained.clock = o.Store, &b.clock
	b.sys = newSys(b)
	if err := b.addHooks(o.Hooks); err != nil {
		return nil, err
	}
	for i := range o.Shards {
		s, err := newShard(b, i, o.Shards)
		if err != nil {
			b.closeShards()
			return nil, fmt.Errorf("broker: %w", err)
		}
		b.shards = append(b.shards, s)
	}
	if err := b.restore(); err != nil {
		b.closeShards()
		return nil, fmt.Errorf("broker: %w", err)
	}
	return b, nil
}

func (b *Broker) closeShards() {
	for _, s := range b.shards {
		s.close()
	}
}

// wind does what the shards still have for each other when their loops have ended, so that nothing is lost that was
// taken from a client.
func (b *Broker) wind() {
	for again := true; again; {
		again = false
		for _, s := range b.shards {
			again = s.wind() || again
		}
	}
	for _, s := range b.shards {
		s.windStore()
	}
	b.closeShards()
}

func (b *Broker) addHooks(hooks []any) error {
	var watching []SessionObserver
	for i, h := range hooks {
		known := false
		if x, ok := h.(Authenticator); ok {
			b.authenticators, known = append(b.authenticators, x), true
		}
		if x, ok := h.(Authorizer); ok {
			b.authorizers, known = append(b.authorizers, x), true
		}
		if x, ok := h.(Admitter); ok {
			b.admitters, known = append(b.admitters, x), true
		}
		if x, ok := h.(PublishInterceptor); ok {
			b.interceptors, known = append(b.interceptors, x), true
		}
		if x, ok := h.(TopicPolicy); ok && b.policies == nil {
			b.policies, known = x, true
		}
		if x, ok := h.(SessionObserver); ok {
			watching, known = append(watching, x), true
		}
		if !known {
			return fmt.Errorf("broker: hook %d (%T) implements none of the hooks' interfaces", i, h)
		}
	}
	b.observers = newObservers(watching)
	return nil
}

// Run carries messages until Shutdown is done or ctx ends; then every connection is gone. When ctx ends connections are
// closed without a word. Run can be called once.
func (b *Broker) Run(ctx context.Context) error {
	if err := b.enter(); err != nil {
		return err
	}
	defer close(b.done)
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	b.checking = inner
	var helpers, loops sync.WaitGroup
	for range checkers {
		helpers.Go(b.check)
	}
	helpers.Go(func() { b.sys.run(inner) })
	helpers.Go(func() { b.watchClock(inner) })
	if b.observers != nil {
		helpers.Go(func() { b.observers.run(inner) })
	}
	failures := make(chan error, len(b.shards))
	for _, s := range b.shards {
		s.busy = poller.Supported && runtime.GOMAXPROCS(0) > len(b.shards)
		loops.Go(func() {
			if err := s.run(); err != nil {
				failures <- err
			}
		})
	}
	err := b.await(ctx, failures)
	b.gate.close()
	loops.Wait()
	b.wind()
	b.leave()
	cancel()
	helpers.Wait()
	b.streams.Wait()
	return err
}

// await returns when the shards have been told to end.
func (b *Broker) await(ctx context.Context, failures <-chan error) (err error) {
	select {
	case <-b.stop:
	case <-ctx.Done():
		b.stopOnce.Do(func() { close(b.stop) })
		b.abort()
	case err = <-failures:
		b.abort()
	}
	return err
}

func (b *Broker) enter() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch b.state {
	case stateRunning:
		return ErrRunning
	case stateEnded:
		return ErrClosed
	}
	b.state = stateRunning
	return nil
}

func (b *Broker) leave() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.state = stateEnded
}

// abort closes every connection without a word.
func (b *Broker) abort() {
	for _, s := range b.shards {
		s.post(call(func(s *shard) {
			s.ending = true
			for _, c := range s.conns {
				if c != nil {
					c.release()
				}
			}
		}))
	}
}

// Shutdown stops the broker in good order: no connection is taken any more, MQTT 5 clients get DISCONNECT 0x8B and
// WebSockets the close code 1001, and everything that was accepted is written. It returns when Run has ended, or with
// ctx's error after closing what is left.
func (b *Broker) Shutdown(ctx context.Context) error {
	if b.endUnrun() {
		return nil
	}
	b.stopOnce.Do(func() {
		close(b.stop)
		for _, s := range b.shards {
			s.post(call(func(s *shard) { s.end(closeShutdown) }))
		}
	})
	select {
	case <-b.done:
		return nil
	case <-ctx.Done():
		b.abort()
		<-b.done
		return fmt.Errorf("broker: connections did not close in time: %w", ctx.Err())
	}
}

// endUnrun ends a broker that does not run yet, so that it never will. It tells whether that is so.
func (b *Broker) endUnrun() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state != stateReady {
		return false
	}
	b.state = stateEnded
	b.closeShards()
	close(b.done)
	return true
}

// RulesChanged makes the broker ask its Admitters, Authorizers and TopicPolicy anew: clients that would not be let in any
// more are disconnected, decisions that were cached are dropped, and subscriptions that are no longer allowed end.
func (b *Broker) RulesChanged() {
	b.rulesGen.Add(1)
	for _, s := range b.shards {
		s.post(call((*shard).applyRules))
	}
}

func (s *shard) applyRules() {
	s.renewPolicies()
	for _, ss := range s.sessions {
		if ss.conn == nil || ss.conn.state != stateOpen {
			continue
		}
		if refusal := s.b.admit(ss.conn.client); refusal != nil {
			ss.conn.closeWith(closeNotAuthorized, wire.NotAuthorized, refusal.Reason)
			continue
		}
		ss.recheck()
	}
}

// Stats returns what the broker has counted. It asks every shard, so it waits for their turns to end.
func (b *Broker) Stats() Stats {
	out := newStats(b.clock.began)
	for r := range closeReasons {
		if r != closeNone {
			out.Closed[closing[r].label] = 0
		}
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	for _, s := range b.shards {
		if b.state != stateRunning {
			s.stats.add(&out, len(s.sessions))
			continue
		}
		answered := make(chan struct{})
		if s.post(call(func(s *shard) { s.stats.add(&out, len(s.sessions)); close(answered) })) {
			<-answered
		}
	}
	out.Retained, out.RetainedBytes = b.retained.count.Load(), b.retained.bytes.Load()
	if b.observers != nil {
		out.EventsMissed = b.observers.missed.Load()
	}
	b.limiting.add(&out)
	out.Waiting += b.gate.waiting()
	b.counters.mu.Lock()
	defer b.counters.mu.Unlock()
	for label, n := range b.counters.auths {
		out.Auth[label] += n
	}
	return out
}
