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

// Method is the Identity.Method of those who showed a password.
const Method = "passwd"

// Options say which file an Authenticator uses.
type Options struct {
	Path string
	// Concurrency is how many passwords are verified at once; the others wait. Each takes a processor for 20 to 50 ms and
	// the memory that its hash asks for, 19 MiB if outcry passwd made it. 0: half of the processors, at least one.
	Concurrency int
}

// Authenticator accepts a client whose user name and password are in the file. It is a broker.Authenticator.
type Authenticator struct {
	path    string
	key     [sha256.Size]byte // of this process; what it signs means nothing to another
	slots   chan struct{}     // a verification holds one
	current atomic.Pointer[users]
}

var _ broker.Authenticator = (*Authenticator)(nil)

// users is one reading of the file.
type users struct {
	byName map[string]*user
	all    []*user
}

type user struct {
	identity broker.Identity
	hash     hash
	// verified is the MAC of the password that was right the last time. A client that comes back with it is spared the
	// hash: after a restart of the network, thousands do at once. It is forgotten when the file is read again.
	verified atomic.Pointer[[sha256.Size]byte]
}

// New returns an Authenticator. A file with something wrong is a *FileError, which says everything that is.
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

// Reload reads the file again. On an error the users stay as they are.
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

// Authenticate tells who c is by its user name and password. It returns broker.ErrNotConcerned if one of them is missing,
// a *broker.Refusal if they don't fit, and another error if ctx ends before it is this client's turn.
func (a *Authenticator) Authenticate(ctx context.Context, c *broker.Credentials) (*broker.Identity, error) {
	if c.Username == "" || c.Password == nil {
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

// AuthenticateQuickly knows clients without one of them, who are another's, and passwords that were right the last time.
func (a *Authenticator) AuthenticateQuickly(c *broker.Credentials) (id *broker.Identity, known bool) {
	if c.Username == "" || c.Password == nil {
		return nil, true
	}
	if u := a.current.Load().byName[c.Username]; u != nil && u.isVerified(a.mac("password", c.Username, c.Password)) {
		return &u.identity, true
	}
	return nil, false
}

// isVerified tells whether a password with this MAC was right the last time.
func (u *user) isVerified(mac [sha256.Size]byte) bool {
	last := u.verified.Load()
	return last != nil && hmac.Equal(mac[:], last[:])
}

// refuse gives everybody the same answer; only the label, which stays here, tells what was wrong.
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

// decoy returns the user whose hash is computed in the place of an unknown one's, always the same for the same name: the
// time it takes is that of some user in the file.
func (u *users) decoy(mac [sha256.Size]byte) *user {
	return u.all[binary.BigEndian.Uint64(mac[:])%uint64(len(u.all))]
}

// mac returns a code that says nothing about a password without the process's key.
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
