package denylist

import (
	"context"
	"io/fs"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
)

const defaultCheckEvery = time.Second

// Options say which file a List follows. Zero fields mean the defaults given with them.
type Options struct {
	Path       string           // required; the file must be there, and may be empty
	CheckEvery time.Duration    // how often the file is looked at; 1 s
	Logger     *slog.Logger     // nil: no log
	Now        func() time.Time // nil: time.Now
}

// List refuses clients that its file names. It is a broker.Admitter, which the broker asks when a client comes, and again
// for all of them when RulesChanged is called.
type List struct {
	// Static after construction.
	options Options

	current atomic.Pointer[entries]
	refused map[Kind]*atomic.Uint64

	mu   sync.Mutex  // guards seen; held while the file is read
	seen fs.FileInfo // of the file when it was last read, whether that succeeded or not; nil: it was missing
}

var _ broker.Admitter = (*List)(nil)

// entries is one reading of the file: until when which values are denied, by kind. It does not change.
type entries map[Kind]map[string]time.Time

// Stats are what a list holds, and what it did since it was made.
type Stats struct {
	Entries map[Kind]int    // gauge: entries of the file, those that are over too
	Refused map[Kind]uint64 // clients that were refused or disconnected; every kind is present from the start
}

// New reads the file. Something wrong with its text is a *FileError, which says everything that is.
func New(o Options) (*List, error) {
	if o.CheckEvery <= 0 {
		o.CheckEvery = defaultCheckEvery
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	l := &List{options: o, refused: make(map[Kind]*atomic.Uint64)}
	for _, kind := range Kinds() {
		l.refused[kind] = new(atomic.Uint64)
	}
	if err := l.Reload(); err != nil {
		return nil, err
	}
	return l, nil
}

// Reload reads the file now. On an error the list stays as it was. Whoever calls it calls Broker.RulesChanged.
func (l *List) Reload() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen = l.stat() // before it is read, so that a change in between is found the next time
	all, err := Read(l.options.Path)
	if err != nil {
		return err
	}
	next := entries{}
	for _, kind := range Kinds() {
		next[kind] = map[string]time.Time{}
	}
	for _, e := range all {
		next[e.Kind][e.Value] = e.Until
	}
	l.current.Store(&next)
	return nil
}

// Run looks at the file until ctx ends, and returns nil then. When the file has changed it is read, and changed is called:
// Broker.RulesChanged. A file that is broken or missing is told of once, and the list stays as it was.
func (l *List) Run(ctx context.Context, changed func()) error {
	ticker := time.NewTicker(l.options.CheckEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		l.mu.Lock()
		same := sameFile(l.seen, l.stat())
		l.mu.Unlock()
		if same {
			continue
		}
		if err := l.Reload(); err != nil {
			l.options.Logger.Error("deny file not read, the old entries stay", "error", err)
			continue
		}
		l.options.Logger.Info("deny file read", "file", l.options.Path)
		changed()
	}
}

// stat describes the file; nil stands for one that is missing.
func (l *List) stat() fs.FileInfo {
	info, err := os.Stat(l.options.Path)
	if err != nil {
		return nil
	}
	return info
}

func sameFile(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// refusals are what is said to whom.
var refusals = map[Kind]*broker.Refusal{
	User:   {Code: broker.CodeNotAuthorized, Reason: "this user is denied access", Label: "denied_user"},
	Token:  {Code: broker.CodeNotAuthorized, Reason: "this token has been revoked", Label: "denied_token"},
	Client: {Code: broker.CodeNotAuthorized, Reason: "this client identifier is denied access", Label: "denied_client"},
}

// Admit refuses a client whose user, client identifier or token is on the list.
func (l *List) Admit(c *broker.Client) *broker.Refusal {
	current := *l.current.Load()
	for kind, denied := range current {
		if len(denied) == 0 {
			continue
		}
		until, found := denied[valueOf(kind, c)]
		if found && !(Entry{Until: until}).Over(l.options.Now()) {
			l.refused[kind].Add(1)
			return refusals[kind]
		}
	}
	return nil
}

// valueOf is what a client has of a kind; "", which is on no list, if it has none.
func valueOf(kind Kind, c *broker.Client) string {
	switch kind {
	case User:
		return c.Identity.User
	case Client:
		return c.ID
	}
	switch id := c.Identity.Claims["jti"].(type) {
	case string:
		return id
	case int64: // against RFC 7519 4.1.7, but it would be worse to overlook it
		return strconv.FormatInt(id, 10)
	}
	return ""
}

// Stats returns what the list holds and did.
func (l *List) Stats() Stats {
	s := Stats{Entries: map[Kind]int{}, Refused: map[Kind]uint64{}}
	for kind, denied := range *l.current.Load() {
		s.Entries[kind] = len(denied)
		s.Refused[kind] = l.refused[kind].Load()
	}
	return s
}
