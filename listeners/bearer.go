package listeners

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	leastToken = 32   // bytes
	mostToken  = 4096 // bytes of the file

	failuresAllowed = 10 // wrong tokens of a network in failuresWindow; then its requests are refused until the window ends
	failuresWindow  = time.Minute
	failuresKept    = 1024 // remembered networks
)

// bearer passes requests with the right bearer token (RFC 6750 2.1).
type bearer struct {
	file     string
	sum      atomic.Pointer[[sha256.Size]byte]
	failures failures
	refused  atomic.Uint64
}

// newBearer reads the token's file.
func newBearer(file string) (*bearer, error) {
	b := &bearer{file: file, failures: failures{now: time.Now, byNetwork: map[netip.Prefix]*failure{}}}
	return b, b.reload()
}

// reload reads the file again. After an error the old token applies.
func (b *bearer) reload() error {
	token, err := readToken(b.file)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(token)
	b.sum.Store(&sum)
	return nil
}

func readToken(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("token file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("token file: %w", err)
	}
	if mode := info.Mode().Perm(); runtime.GOOS != "windows" && mode&0o077 != 0 {
		return nil, fmt.Errorf("token file %s: other users have access to it (mode %04o); run chmod 600 %s", file, mode, file)
	}
	text, err := io.ReadAll(io.LimitReader(f, mostToken+1))
	if err != nil {
		return nil, fmt.Errorf("token file: %w", err)
	}
	token := bytes.TrimRight(text, "\r\n")
	if len(token) < leastToken || len(text) > mostToken || bytes.ContainsFunc(token, isNoTokenRune) {
		return nil, fmt.Errorf("token file %s: must hold one line of %d to %d letters, digits and -._~+/=; "+
			"make one with: openssl rand -hex 32", file, leastToken, mostToken-2)
	}
	if bytes.Count(token, token[:1]) == len(token) {
		return nil, fmt.Errorf("token file %s: repeats a single character and can be guessed; make one with: openssl rand -hex 32", file)
	}
	return token, nil
}

func isNoTokenRune(r rune) bool {
	return !strings.ContainsRune("-._~+/=", r) && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
}

// wrap calls next if the token is right, or the path is one of open.
func (b *bearer) wrap(next http.Handler, open ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, path := range open {
			if r.URL.Path == path {
				next.ServeHTTP(w, r)
				return
			}
		}
		from := network(r.RemoteAddr)
		switch {
		case b.failures.tooMany(from):
			b.refused.Add(1)
			w.Header().Set("Retry-After", fmt.Sprint(int(failuresWindow.Seconds())))
			plain(w, http.StatusTooManyRequests, "too many wrong tokens; wait a minute")
		case !b.isAuthorized(r):
			b.refused.Add(1)
			b.failures.add(from)
			w.Header().Set("WWW-Authenticate", `Bearer realm="outcry"`)
			plain(w, http.StatusUnauthorized, "send the token in http.token_file as Authorization: Bearer")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// isAuthorized reports whether a request has the right token. The comparison takes constant time.
func (b *bearer) isAuthorized(r *http.Request) bool {
	headers := r.Header["Authorization"]
	if len(headers) != 1 {
		return false
	}
	scheme, token, _ := strings.Cut(headers[0], " ")
	sum := sha256.Sum256([]byte(strings.TrimSpace(token)))
	return strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(sum[:], b.sum.Load()[:]) == 1
}

// network returns the network that failures count for: an IPv4 address, or 64 bits of an IPv6 address.
func network(remote string) netip.Prefix {
	peer, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Prefix{}
	}
	addr := peer.Addr().Unmap().WithZone("")
	if addr.Is4() {
		return netip.PrefixFrom(addr, 32)
	}
	return netip.PrefixFrom(addr, 64).Masked()
}

// failures counts wrong tokens. It remembers at most failuresKept networks.
type failures struct {
	now func() time.Time

	mu        sync.Mutex // guards the fields below
	byNetwork map[netip.Prefix]*failure
}

type failure struct {
	count int
	until time.Time // end of the window
}

func (f *failures) tooMany(from netip.Prefix) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	known := f.byNetwork[from]
	return known != nil && known.count >= failuresAllowed && f.now().Before(known.until)
}

func (f *failures) add(from netip.Prefix) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	known := f.byNetwork[from]
	if known == nil || !now.Before(known.until) {
		f.makeRoom(now)
		known = &failure{until: now.Add(failuresWindow)}
		f.byNetwork[from] = known
	}
	known.count++
}

// makeRoom forgets expired entries, or else an arbitrary one.
func (f *failures) makeRoom(now time.Time) {
	if len(f.byNetwork) < failuresKept {
		return
	}
	var last netip.Prefix
	for from, known := range f.byNetwork {
		if !now.Before(known.until) {
			delete(f.byNetwork, from)
		}
		last = from
	}
	if len(f.byNetwork) >= failuresKept {
		delete(f.byNetwork, last)
	}
}
