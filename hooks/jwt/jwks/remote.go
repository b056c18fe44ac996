// Package jwks reads token keys from JSON Web Key Sets (RFC 7517), in a file or at a URL. It omits and reports
// members that are no strong signature keys. Neither a slow source nor tokens with unknown keys delay clients whose
// keys are known.
package jwks

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/outcry-mqtt/outcry/hooks/jwt"
)

// Defaults of Options.
const (
	DefaultRefresh     = 15 * time.Minute
	DefaultRereadEvery = 30 * time.Second
	DefaultTimeout     = 10 * time.Second
)

// Options set a Remote's URL, limits and intervals. Only URL is required.
type Options struct {
	URL       string // https, or http to this machine
	AllowHTTP bool   // permits http to other machines; anybody on the path can then forge tokens
	// Refresh is the longest time between two fetches; 0: DefaultRefresh. A response's Cache-Control can shorten it,
	// down to a minute.
	Refresh time.Duration
	// RereadEvery is the shortest time between fetches caused by tokens with an unknown key; 0: DefaultRereadEvery.
	RereadEvery time.Duration
	Timeout     time.Duration // of a fetch, from name resolution to the last byte; 0: DefaultTimeout
	TLS         *tls.Config   // nil: the system's authorities
	Counters    *Counters     // may be shared by several Remotes; nil: no counters
	Logger      *slog.Logger  // nil: no log
}

// Remote is a key set at a URL. It is a jwt.LiveKeys: the last valid set stays in use if the source fails.
type Remote struct {
	// Static after construction.
	options Options
	client  *http.Client
	wake    chan struct{} // asks Run to fetch now
	soon    chan struct{} // asks Run to fetch as soon as RereadEvery permits

	keys    atomic.Pointer[[]jwt.Key] // nil: not fetched yet
	failing atomic.Bool               // the last fetch failed

	// Owned by Run.
	etag     string // of the set in use
	failures int    // consecutive failed fetches
	leftOut  []LeftOut

	mu      sync.Mutex    // guards the fields below
	reading chan struct{} // closed at the end of the current or requested fetch; nil: none
	last    time.Time     // start of the last fetch
}

var _ jwt.LiveKeys = (*Remote)(nil)

// NewRemote returns a Remote that has fetched nothing yet, or an error for an invalid URL.
func NewRemote(o Options) (*Remote, error) {
	if err := CheckURL(o.URL, o.AllowHTTP); err != nil {
		return nil, err
	}
	if o.Refresh <= 0 {
		o.Refresh = DefaultRefresh
	}
	if o.RereadEvery <= 0 {
		o.RereadEvery = DefaultRereadEvery
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Counters == nil {
		o.Counters = new(Counters)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Remote{options: o, client: newClient(&o), wake: make(chan struct{}, 1), soon: make(chan struct{}, 1)}, nil
}

// Keys returns the last fetched keys, none before the first fetch.
func (r *Remote) Keys() ([]jwt.Key, error) {
	if keys := r.keys.Load(); keys != nil {
		return *keys, nil
	}
	return nil, nil
}

// Failing reports whether the last fetch failed.
func (r *Remote) Failing() bool { return r.failing.Load() }

// Reread has the set fetched again, but not within RereadEvery of the last fetch: see jwt.LiveKeys. Otherwise Run
// fetches it as soon as that has passed.
func (r *Remote) Reread() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.reading != nil {
		return r.reading
	}
	if !r.last.IsZero() && time.Since(r.last) < r.options.RereadEvery {
		signal(r.soon)
		return nil
	}
	r.reading = make(chan struct{})
	signal(r.wake)
	return r.reading
}

// signal sends without blocking on a channel with a buffer of one.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Run fetches the set now and then on schedule, until ctx ends.
func (r *Remote) Run(ctx context.Context, changed func()) {
	next := time.NewTimer(0)
	defer next.Stop()
	defer r.end() // releases everybody who waits for a fetch
	due := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.soon:
			if at := r.mayRead(); at.Before(due) {
				due = at
				next.Reset(time.Until(due))
			}
			continue
		case <-next.C:
		case <-r.wake:
		}
		wait := r.read(ctx, changed)
		due = time.Now().Add(wait)
		next.Reset(wait)
	}
}

// mayRead returns the earliest time at which a token may cause a fetch.
func (r *Remote) mayRead() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last.Add(r.options.RereadEvery)
}

// read fetches the set, and returns the time until the next fetch.
func (r *Remote) read(ctx context.Context, changed func()) time.Duration {
	r.begin()
	defer r.end()
	a, err := r.fetch(ctx)
	var set Set
	if err == nil && !a.unchanged {
		set, err = r.parse(a)
	}
	if ctx.Err() != nil {
		return r.options.Refresh // ctx has ended, so the value is not used
	}
	if err != nil {
		return r.failed(err)
	}
	if a.unchanged {
		r.options.Counters.count(resultUnchanged)
	} else {
		r.options.Counters.count(resultOK)
		r.use(set, a.etag, changed)
	}
	if r.failing.Swap(false) {
		r.options.Logger.Info("key set can be read again", "url", r.options.URL)
	}
	r.failures = 0
	return r.options.untilNext(a.maxAge)
}

// begin marks the start of a fetch, which serves all pending requests.
func (r *Remote) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.reading == nil {
		r.reading = make(chan struct{})
	}
	for _, asked := range [...]chan struct{}{r.wake, r.soon} {
		select {
		case <-asked:
		default:
		}
	}
	r.last = time.Now()
}

func (r *Remote) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.reading != nil {
		close(r.reading)
		r.reading = nil
	}
}

// failed records a failed fetch. It logs the first of a series.
func (r *Remote) failed(err error) time.Duration {
	r.options.Counters.count(resultOf(err))
	if !r.failing.Swap(true) {
		keys, _ := r.Keys()
		r.options.Logger.Error("key set cannot be read; the known keys stay in use",
			"url", r.options.URL, "keys", len(keys), "error", err)
	}
	r.failures++
	return r.options.untilRetry(r.failures)
}

// use replaces the set. If the keys are the same, it does nothing.
func (r *Remote) use(set Set, etag string, changed func()) {
	r.etag = etag
	if !reflect.DeepEqual(r.leftOut, set.LeftOut) {
		for _, l := range set.LeftOut[:min(len(set.LeftOut), maxKeys)] {
			r.options.Logger.Warn("key of a key set ignored", "url", r.options.URL, "key", l.String())
		}
		r.leftOut = set.LeftOut
	}
	if old := r.keys.Load(); old != nil && reflect.DeepEqual(*old, set.Keys) {
		return
	}
	r.keys.Store(&set.Keys)
	r.options.Logger.Info("key set read", "url", r.options.URL, "keys", len(set.Keys))
	changed()
}

// result is the outcome of a fetch.
type result int

// A closed set, used as metric labels.
const (
	resultOK        result = iota
	resultUnchanged        // the source reports that the set in use is current
	resultConnect          // no connection, or it broke; includes TLS
	resultTimeout
	resultRedirect // too many, or to a forbidden address
	resultStatus   // a status other than 200
	resultTooLarge
	resultNoKeys // no key set, or no usable key in it
	results      // number of results
)

var resultNames = [results]string{"ok", "unchanged", "connect", "timeout", "redirect", "status", "too_large", "no_keys"}

// Counters count the fetches of key sets. The zero value is ready.
type Counters struct{ n [results]atomic.Uint64 }

func (c *Counters) count(r result) { c.n[r].Add(1) }

// Readings returns the number of fetches by result; all results are present.
func (c *Counters) Readings() map[string]uint64 {
	all := map[string]uint64{}
	for r, name := range resultNames {
		all[name] = c.n[r].Load()
	}
	return all
}

func resultOf(err error) result {
	if f, ok := errors.AsType[*failure](err); ok {
		return f.result
	}
	return resultConnect
}
