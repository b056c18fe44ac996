// Package denylist refuses revoked tokens, users and client identifiers, listed in a file with one entry a line. It
// also writes such files.
//
// It disconnects connected clients too, and never accepts a client.
package denylist

import (
	"context"
	"fmt"
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

// Options select the file. Zero values mean the default in the comment.
type Options struct {
	Path       string           // required; the file must exist, and may be empty
	CheckEvery time.Duration    // interval between checks of the file; 1 s
	Logger     *slog.Logger     // nil: no log
	Now        func() time.Time // nil: time.Now
}

// List refuses the clients listed in a file. It is a broker.SessionAdmitter: the broker asks it about each new
// client, and about all clients and sessions when RulesChanged is called.
type List struct {
	// Static after construction.
	options Options

	current atomic.Pointer[entries]
	refused map[Kind]*atomic.Uint64

	mu   sync.Mutex  // guards seen; held while the file is read or expired entries are dropped
	seen fs.FileInfo // of the file at the last read, successful or not; nil: it was missing
}

var _ broker.SessionAdmitter = (*List)(nil)

// Stats are a list's size and counters since New.
type Stats struct {
	Entries map[Kind]int    // gauge: entries that have not expired
	Refused map[Kind]uint64 // refused or disconnected clients and suppressed wills; every kind is present
}

// New reads the file. Its error is a *FileError with everything wrong in the text, or the system's.
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

// Reload reads the file now. After an error the old list applies. The caller then calls Broker.RulesChanged.
func (l *List) Reload() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen = l.stat() // before the read, so that the next check finds a change in between
	all, err := Read(l.options.Path)
	if err != nil {
		return err
	}
	l.current.Store(newEntries(all, l.options.Now()))
	return nil
}

// dropExpired forgets expired entries.
func (l *List) dropExpired() {
	l.mu.Lock()
	defer l.mu.Unlock()
	current := l.current.Load()
	for current.drop(l.options.Now()) {
	}
	if current.len() < current.room/4 {
		current.compact()
	}
}

// Run watches the file until ctx ends, then returns nil. It reads a changed file and calls changed, which calls
// Broker.RulesChanged. It logs a broken or missing file once; the old list applies.
func (l *List) Run(ctx context.Context, changed func()) error {
	ticker := time.NewTicker(l.options.CheckEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		l.dropExpired()
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

// stat describes the file; nil: it is missing.
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

// refusals are the answers by kind of entry.
var refusals = map[Kind]*broker.Refusal{
	User:   {Code: broker.CodeNotAuthorized, Reason: "this user is denied access", Label: "denied_user", Failed: true},
	Token:  {Code: broker.CodeNotAuthorized, Reason: "this token has been revoked", Label: "denied_token", Failed: true},
	Client: {Code: broker.CodeNotAuthorized, Reason: "this client identifier is denied access", Label: "denied_client", Failed: true},
}

// Admit refuses a client whose user, client identifier or token is on the list.
func (l *List) Admit(c *broker.Client) *broker.Refusal {
	kind, found := l.find(c, User, Token, Client)
	if !found {
		return nil
	}
	l.refused[kind].Add(1)
	return refusals[kind]
}

// AdmitSession refuses the session of a denied user or client identifier. A session made with a denied token stays:
// its user may come back with another token.
func (l *List) AdmitSession(c *broker.Client) *broker.Refusal {
	if kind, found := l.find(c, User, Client); found {
		return refusals[kind]
	}
	return nil
}

// find returns the first of the kinds for which the client is denied.
func (l *List) find(c *broker.Client, kinds ...Kind) (kind Kind, found bool) {
	current := l.current.Load()
	for _, kind := range kinds {
		until, found := current.until(kind, valueOf(kind, c))
		if found && !(Entry{Until: until}).Expired(l.options.Now()) {
			return kind, true
		}
	}
	return "", false
}

// valueOf returns a client's value of a kind; "" if it has none, which no entry has.
func valueOf(kind Kind, c *broker.Client) string {
	switch kind {
	case User:
		return c.Identity.User
	case Client:
		return c.ID
	}
	return tokenID(c.Identity.Claims["jti"])
}

// tokenID returns a claim jti as text. RFC 7519 4.1.7 wants a string, and hooks/jwt accepts nothing else; another
// Authenticator's number must not be overlooked.
func tokenID(claim any) string {
	switch id := claim.(type) {
	case string:
		return id
	case int64:
		return strconv.FormatInt(id, 10)
	case float64:
		return strconv.FormatFloat(id, 'f', -1, 64)
	case fmt.Stringer: // json.Number
		return id.String()
	}
	return ""
}

// Stats returns the counters.
func (l *List) Stats() Stats {
	s := Stats{Entries: map[Kind]int{}, Refused: map[Kind]uint64{}}
	current := l.current.Load()
	current.mu.RLock()
	defer current.mu.RUnlock()
	for kind, denied := range current.denied {
		s.Entries[kind] = len(denied)
		s.Refused[kind] = l.refused[kind].Load()
	}
	return s
}
