package jwks

import (
	"context"
	"crypto/tls"
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

// Options say where a Remote reads its keys, and how often. Only URL is required.
type Options struct {
	URL       string // https, or http to this machine
	AllowHTTP bool   // http to other machines, too: whoever is between can then forge tokens
	// Refresh is the longest time between two readings; 0: DefaultRefresh. If the source says by Cache-Control that it
	// should be read sooner, it is, but not within a minute.
	Refresh time.Duration
	// RereadEvery is the shortest time between readings that a token with an unknown key causes; 0: DefaultRereadEvery.
	RereadEvery time.Duration
	Timeout     time.Duration // of a reading, from the look-up of the name to the last byte; 0: DefaultTimeout
	TLS         *tls.Config   // nil: the authorities of this machine
	Counters    *Counters     // may be shared by several Remotes; nil: nothing is counted
	Logger      *slog.Logger  // nil: nothing is logged
}

// Remote is the key set behind a URL. It is a jwt.LiveKeys: the last set that was good stays in use whatever happens to
// its source.
type Remote struct {
	// Static after construction.
	options Options
	client  *http.Client
	wake    chan struct{} // Run is to read now

	keys    atomic.Pointer[[]jwt.Key] // nil: none was read yet
	failing atomic.Bool               // the last reading failed

	// Owned by Run.
	etag     string // of the set in use
	failures int    // readings that failed, in a row
	leftOut  []LeftOut

	mu      sync.Mutex    // guards what follows
	reading chan struct{} // is closed when the reading ends that is under way, or was asked for; nil: there is none
	last    time.Time     // when the last one began
}

var _ jwt.LiveKeys = (*Remote)(nil)

// NewRemote returns a Remote that has not read anything yet, or what is wrong with the URL.
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
	return &Remote{options: o, client: newClient(&o), wake: make(chan struct{}, 1)}, nil
}

// Keys returns the keys that were read last, none before the first reading.
func (r *Remote) Keys() ([]jwt.Key, error) {
	if keys := r.keys.Load(); keys != nil {
		return *keys, nil
	}
	return nil, nil
}

// Failing reports whether the last reading failed.
func (r *Remote) Failing() bool { return r.failing.Load() }

// Reread has the set read again, if it was not within the last RereadEvery: see jwt.LiveKeys.
func (r *Remote) Reread() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.reading != nil {
		return r.reading
	}
	if !r.last.IsZero() && time.Since(r.last) < r.options.RereadEvery {
		return nil
	}
	r.reading = make(chan struct{})
	select {
	case r.wake <- struct{}{}:
	default:
	}
	return r.reading
}

// Run reads the set now, and again whenever it is time, until ctx ends.
func (r *Remote) Run(ctx context.Context, changed func()) {
	next := time.NewTimer(0)
	defer next.Stop()
	defer r.end() // who waits for a reading that will not come
	for {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
		case <-r.wake:
		}
		next.Reset(r.read(ctx, changed))
	}
}

// read reads the set, and returns how long it is until the next time.
func (r *Remote) read(ctx context.Context, changed func()) time.Duration {
	r.begin()
	defer r.end()
	a, err := r.fetch(ctx)
	var set Set
	if err == nil && !a.unchanged {
		set, err = r.parse(a)
	}
	if ctx.Err() != nil {
		return r.options.Refresh // which is never waited for
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

// begin notes that a reading begins, which serves everybody who asked for one.
func (r *Remote) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.reading == nil {
		r.reading = make(chan struct{})
	}
	select {
	case <-r.wake:
	default:
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

// failed notes that a reading failed, and logs it if the one before did not.
func (r *Remote) failed(err error) time.Duration {
	r.options.Counters.count(resultOf(err))
	if !r.failing.Swap(true) {
		keys, _ := r.Keys()
		r.options.Logger.Error("key set cannot be read; the keys that are known stay in use",
			"url", r.options.URL, "keys", len(keys), "err", err)
	}
	r.failures++
	return r.options.untilRetry(r.failures)
}

// use takes over a set. If it has the keys of the one before, it does nothing.
func (r *Remote) use(set Set, etag string, changed func()) {
	r.etag = etag
	if !reflect.DeepEqual(r.leftOut, set.LeftOut) {
		for _, l := range set.LeftOut[:min(len(set.LeftOut), maxKeys)] {
			r.options.Logger.Warn("key of a set left out", "url", r.options.URL, "key", l.String())
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
