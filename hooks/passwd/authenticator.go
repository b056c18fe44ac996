// Package passwd authenticates clients by user name and password, from a file with one user a line. It also writes
// such files.
//
// It stores hashes only (argon2id or bcrypt). Neither its answer nor its response time reveals whether a user exists.
package passwd

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"runtime"
	"sync/atomic"

	"github.com/outcry-mqtt/outcry/broker"
)

// Method is the Identity.Method of clients with a password.
const Method = "passwd"

// Options configure an Authenticator.
type Options struct {
	Path string
	// Concurrency is the number of passwords verified at once; others wait. Each takes a processor for 20 to 50 ms
	// and the memory of its hash, 19 MiB for a hash by outcry passwd. 0: half of the processors, at least one.
	Concurrency int
}

// Authenticator accepts a client whose user name and password match the file. It is a broker.Authenticator.
type Authenticator struct {
	path    string
	key     [sha256.Size]byte // random MAC key of this process
	slots   chan struct{}     // one value for each verification that runs
	current atomic.Pointer[users]
}

var (
	_ broker.QuickAuthenticator     = (*Authenticator)(nil)
	_ broker.GuessableAuthenticator = (*Authenticator)(nil)
)

// users is one version of the file.
type users struct {
	byName map[string]*user
	all    []*user
}

type user struct {
	identity broker.Identity
	hash     hash
	// verified is the MAC of the last right password. A client that comes back with it costs no hash: after a network
	// outage thousands reconnect at once. Reading the file again clears it.
	verified atomic.Pointer[[sha256.Size]byte]
}

// New returns an Authenticator. A file with errors gives a *FileError with all of them.
func New(o Options) (*Authenticator, error) {
	if o.Concurrency <= 0 {
		o.Concurrency = max(runtime.GOMAXPROCS(0)/2, 1)
	}
	a := &Authenticator{path: o.Path, slots: make(chan struct{}, o.Concurrency)}
	rand.Read(a.key[:]) // never fails
	if err := a.Reload(); err != nil {
		return nil, err
	}
	return a, nil
}

// Reload reads the file again. After an error the old users apply.
func (a *Authenticator) Reload() error {
	_, records, err := readFile(a.path)
	if err != nil {
		return err
	}
	read := &users{byName: make(map[string]*user, len(records))}
	for _, r := range records {
		u := &user{identity: broker.Identity{User: r.user, Claims: r.claims, Method: Method}, hash: r.hash}
		read.byName[r.user] = u
		read.all = append(read.all, u)
	}
	if len(records) == 0 {
		read.all = append(read.all, &user{hash: unmatchable()})
	}
	a.current.Store(read)
	return nil
}

// Authenticate identifies c by its user name and password. It returns broker.ErrNotConcerned if one of them is
// missing, a *broker.Refusal if they are wrong, and another error if ctx ends while c waits for a slot.
func (a *Authenticator) Authenticate(ctx context.Context, c *broker.Credentials) (*broker.Identity, error) {
	if !a.Guessable(c) {
		return nil, broker.ErrNotConcerned
	}
	current := a.current.Load()
	u, known := current.byName[c.Username]
	if !known {
		u = current.decoy(a.mac("decoy", c.Username, nil))
	}
	mac := a.mac("password", c.Username, c.Password)
	if known && u.isVerified(mac) {
		return &u.identity, nil
	}
	matches, err := a.verify(ctx, u.hash, c.Password)
	if err != nil {
		return nil, err
	}
	if !known {
		return nil, refuse("unknown_user")
	}
	if !matches {
		return nil, refuse("bad_password")
	}
	u.verified.Store(&mac)
	return &u.identity, nil
}

// AuthenticateQuickly decides about clients without user name or password, which it leaves to others, and about
// passwords that were right last time.
func (a *Authenticator) AuthenticateQuickly(c *broker.Credentials) (id *broker.Identity, known bool) {
	if !a.Guessable(c) {
		return nil, true
	}
	if u := a.current.Load().byName[c.Username]; u != nil && u.isVerified(a.mac("password", c.Username, c.Password)) {
		return &u.identity, true
	}
	return nil, false
}

// Guessable reports whether c sends a user name and a password.
func (a *Authenticator) Guessable(c *broker.Credentials) bool {
	return c.Username != "" && c.Password != nil
}

// isVerified reports whether mac is that of the last right password.
func (u *user) isVerified(mac [sha256.Size]byte) bool {
	last := u.verified.Load()
	return last != nil && hmac.Equal(mac[:], last[:])
}

// refuse gives the same answer for every failure; only the label, which stays in the broker, differs.
func refuse(label string) *broker.Refusal {
	return &broker.Refusal{Code: broker.CodeBadUserOrPassword, Reason: "unknown user or wrong password", Label: label}
}

func (a *Authenticator) verify(ctx context.Context, h hash, password []byte) (matches bool, err error) {
	select {
	case a.slots <- struct{}{}:
		defer func() { <-a.slots }()
		return h.matches(password), nil
	case <-ctx.Done():
		return false, fmt.Errorf("wait to verify a password: %w", ctx.Err())
	}
}

// decoy returns the user whose hash is computed for an unknown name, always the same for the same name. The time it
// takes is that of a real user.
func (u *users) decoy(mac [sha256.Size]byte) *user {
	return u.all[binary.BigEndian.Uint64(mac[:])%uint64(len(u.all))]
}

// mac returns a keyed MAC, which reveals nothing about a password outside this process.
func (a *Authenticator) mac(purpose, name string, password []byte) (sum [sha256.Size]byte) {
	h := hmac.New(sha256.New, a.key[:])
	for _, part := range [...][]byte{[]byte(purpose), []byte(name)} {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(part))))
		h.Write(part)
	}
	h.Write(password)
	h.Sum(sum[:0])
	return sum
}
