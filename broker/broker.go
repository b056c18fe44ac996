// Package broker is the engine of Outcry. It carries MQTT 3.1, 3.1.1 and 5.0 messages between attached connections, and owns
// shards, sessions, routing, retained messages and wills. It never listens, reads a config file or decides on identities and
// permissions: listeners attach connections, and hooks authenticate and authorize clients.
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
	"github.com/outcry-mqtt/outcry/broker/storage"
	"github.com/outcry-mqtt/outcry/internal/poller"
)

// ErrClosed is returned once the broker has been stopped.
var ErrClosed = errors.New("broker: closed")

// ErrRunning is returned by Run if the broker is already running.
var ErrRunning = errors.New("broker: already running")

// Broker carries messages between attached connections. New makes one, and Run runs it.
type Broker struct {
	// Static after construction.
	options  Options
	limits   Limits
	log      *slog.Logger
	clock    clock
	hooks    hookSet
	store    storage.Store   // nil: memory only
	bounded  storage.Bounded // store, if it implements storage.Bounded; else nil
	shards   []*shard
	router   router
	retained retained
	sys      *sys
	auth     authPool
	guard    *guard.Guard
	usages   usages
	limiting limiting
	lines    *lines
	counters counters
	streams  sync.WaitGroup // goroutines that read and write streams

	// Shared.
	live        liveSettings
	account     account // waiting messages of all sessions
	last        lastNumbers
	connections atomic.Int64
	turn        atomic.Uint64 // round-robin counter that assigns new connections to shards
	crowded     atomic.Int64  // last time that a shard wrote to many connections in a turn, on the broker's clock
	life        lifecycle
}

// liveSettings holds the settings that may change while the broker runs.
type liveSettings struct {
	rates             atomic.Pointer[rates]
	maxConnections    atomic.Int64
	takeOverAnonymous atomic.Bool   // see Options
	rulesGen          atomic.Uint64 // number of rule changes
}

// hookSet holds a broker's hooks by interface.
type hookSet struct {
	authenticators   []Authenticator
	authorizers      []Authorizer
	admitters        []Admitter
	sessionAdmitters []SessionAdmitter
	interceptors     []PublishInterceptor
	policies         TopicPolicy // nil: each queue drops its oldest message
	observers        *observers  // nil: none
}

// lastNumbers holds the numbers assigned last.
type lastNumbers struct {
	session atomic.Uint64 // to a durable session
	message atomic.Uint64 // to a stored message
	source  atomic.Uint32 // to a session, see session.source
}

// nextSource returns the next number for session.source. It begins again after four billion sessions; by then hardly any message
// of the first ones is left.
func (n *lastNumbers) nextSource() uint32 {
	for {
		if source := n.source.Add(1); source != 0 {
			return source
		}
	}
}

// lifecycle is the broker's run state.
type lifecycle struct {
	stop     chan struct{} // closed by the first Shutdown, or when Run's context ends
	stopOnce sync.Once
	done     chan struct{} // closed when Run has ended

	mu    sync.RWMutex // guards state
	state runState
}

func newLifecycle() lifecycle {
	return lifecycle{stop: make(chan struct{}), done: make(chan struct{})}
}

type runState uint8

const (
	stateReady runState = iota
	stateRunning
	stateEnded
)

// New returns a broker with the state of its store restored. It fails if a hook implements none of the interfaces, or if the store
// cannot be read.
func New(o Options) (*Broker, error) {
	o.setDefaults()
	b := &Broker{
		options: o, limits: o.Limits, log: o.Logger, clock: clock{began: time.Now()}, store: o.Store,
		life: newLifecycle(),
	}
	b.auth.tokens.more.L = &b.auth.tokens.mu
	b.auth.passwords.more.L = &b.auth.passwords.mu
	b.account.init(&b.limits)
	b.lines = newLines(b.log, b.clock.now)
	b.guard = guard.New(o.Limits.Guard)
	b.setLimits(&b.limits)
	b.live.takeOverAnonymous.Store(o.TakeOverAnonymous)
	b.counters.auths = make(map[string]uint64)
	b.bounded, _ = o.Store.(storage.Bounded)
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

func (b *Broker) addHooks(hooks []any) error {
	var watching []SessionObserver
	for i, h := range hooks {
		known := false
		if x, ok := h.(Authenticator); ok {
			b.hooks.authenticators, known = append(b.hooks.authenticators, x), true
		}
		if x, ok := h.(Authorizer); ok {
			b.hooks.authorizers, known = append(b.hooks.authorizers, x), true
		}
		if x, ok := h.(Admitter); ok {
			b.hooks.admitters, known = append(b.hooks.admitters, x), true
		}
		if x, ok := h.(SessionAdmitter); ok {
			b.hooks.sessionAdmitters = append(b.hooks.sessionAdmitters, x)
		}
		if x, ok := h.(PublishInterceptor); ok {
			b.hooks.interceptors, known = append(b.hooks.interceptors, x), true
		}
		if x, ok := h.(TopicPolicy); ok && b.hooks.policies == nil {
			b.hooks.policies, known = x, true
		}
		if x, ok := h.(SessionObserver); ok {
			watching, known = append(watching, x), true
		}
		if !known {
			return fmt.Errorf("broker: hook %d (%T) implements no hook interface", i, h)
		}
	}
	b.hooks.observers = newObservers(watching)
	return nil
}

// Run carries messages until Shutdown is done or ctx ends, and returns when every connection is closed. If ctx ends, it closes
// connections without DISCONNECT or WebSocket close frame. Run can be called once.
func (b *Broker) Run(ctx context.Context) error {
	if err := b.enter(); err != nil {
		return err
	}
	defer close(b.life.done)
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	b.auth.ctx = inner
	var helpers, loops sync.WaitGroup
	for range checkersPerQueue {
		helpers.Go(func() { b.check(&b.auth.tokens) })
		helpers.Go(func() { b.check(&b.auth.passwords) })
	}
	b.applyRules() // to sessions from the store: rules and deny lists may have changed while the broker was down
	helpers.Go(func() { b.sys.run(inner) })
	helpers.Go(func() { b.watchClock(inner) })
	if b.hooks.observers != nil {
		helpers.Go(func() { b.hooks.observers.run(inner) })
	}
	failures := make(chan error, len(b.shards))
	for _, s := range b.shards {
		s.sched.busy = poller.Supported && runtime.GOMAXPROCS(0) > len(b.shards)
		loops.Go(func() {
			if err := s.run(); err != nil {
				failures <- err
			}
		})
	}
	err := b.await(ctx, failures)
	b.auth.tokens.close()
	b.auth.passwords.close()
	loops.Wait()
	b.wind()
	b.leave()
	b.lines.end()
	cancel()
	helpers.Wait()
	b.streams.Wait()
	return err
}

// await blocks until the shards have been told to end.
func (b *Broker) await(ctx context.Context, failures <-chan error) (err error) {
	select {
	case <-b.life.stop:
	case <-ctx.Done():
		b.life.stopOnce.Do(func() { close(b.life.stop) })
		b.abort()
	case err = <-failures:
		b.abort()
	}
	return err
}

func (b *Broker) enter() error {
	b.life.mu.Lock()
	defer b.life.mu.Unlock()
	switch b.life.state {
	case stateRunning:
		return ErrRunning
	case stateEnded:
		return ErrClosed
	}
	b.life.state = stateRunning
	return nil
}

func (b *Broker) leave() {
	b.life.mu.Lock()
	defer b.life.mu.Unlock()
	b.life.state = stateEnded
}

// abort closes every connection without DISCONNECT or WebSocket close frame.
func (b *Broker) abort() {
	for _, s := range b.shards {
		s.post(call(func(s *shard) {
			s.sched.ending = true
			for _, c := range s.conns.slots {
				if c != nil {
					c.release()
				}
			}
		}))
	}
}

// Shutdown stops the broker in order. It accepts no more connections, sends DISCONNECT 0x8B to MQTT 5 clients and close code 1001
// to WebSockets, publishes the wills of sessions that end with the broker, and writes everything that it has accepted. It returns
// when Run has ended, or with ctx's error after it has closed the remaining connections.
func (b *Broker) Shutdown(ctx context.Context) error {
	if b.endUnrun() {
		return nil
	}
	b.life.stopOnce.Do(func() {
		close(b.life.stop)
		b.stopShards()
	})
	select {
	case <-b.life.done:
		return nil
	case <-ctx.Done():
		b.abort()
		<-b.life.done
		return fmt.Errorf("broker: connections did not close in time: %w", ctx.Err())
	}
}

// endUnrun closes a broker that has never run. It returns false if the broker runs or has ended.
func (b *Broker) endUnrun() bool {
	b.life.mu.Lock()
	defer b.life.mu.Unlock()
	if b.life.state != stateReady {
		return false
	}
	b.life.state = stateEnded
	b.closeShards()
	close(b.life.done)
	return true
}

// Stats returns the broker's counters. It asks every shard, so it waits for their turns to end.
func (b *Broker) Stats() Stats {
	out := newStats(b.clock.began)
	for r := range closeReasons {
		if r != closeNone {
			out.Closed[closing[r].label] = 0
		}
	}
	b.life.mu.RLock()
	defer b.life.mu.RUnlock()
	for _, s := range b.shards {
		if b.life.state != stateRunning {
			s.addStats(&out)
			continue
		}
		s.await(func(s *shard) { s.addStats(&out) })
	}
	out.Retained, out.RetainedBytes = b.retained.count.Load(), b.retained.bytes.Load()
	out.SubscriptionBytes, out.Users = b.usages.bytes.Load(), b.usages.users.Load()
	if b.hooks.observers != nil {
		out.EventsMissed = b.hooks.observers.missed.Load()
	}
	b.limiting.add(&out)
	out.Waiting += b.auth.tokens.waiting() + b.auth.passwords.waiting()
	b.counters.mu.Lock()
	defer b.counters.mu.Unlock()
	for label, n := range b.counters.auths {
		out.Auth[label] += n
	}
	return out
}
