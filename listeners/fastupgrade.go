package listeners

import (
	"bufio"
	"bytes"
	"net"
	"net/http"
	"strings"
	"sync"
)

// fastUpgradeBytes is the size of net/http's reads, and so the longest request that is upgraded at once.
const fastUpgradeBytes = 4 << 10

// fastUpgrade holds the reusable state to read and answer one WebSocket request. It is also the request's ResponseWriter,
// which can only be hijacked.
type fastUpgrade struct {
	text     bytes.Reader
	in       *bufio.Reader
	out      *bufio.Writer
	conn     net.Conn
	hijacked bool
}

var fastUpgrades = sync.Pool{New: func() any {
	return &fastUpgrade{in: bufio.NewReaderSize(nil, fastUpgradeBytes), out: bufio.NewWriterSize(nil, fastUpgradeBytes)}
}}

// release returns the state to the pool.
func (u *fastUpgrade) release() {
	u.text.Reset(nil)
	u.in.Reset(nil)
	u.out.Reset(nil)
	u.conn, u.hijacked = nil, false
	fastUpgrades.Put(u)
}

// readRequest parses a request. It reports false unless text is exactly one plain GET request: net/http handles
// everything else.
func (u *fastUpgrade) readRequest(text []byte) (*http.Request, bool) {
	if !isPlain(text) {
		return nil, false
	}
	u.text.Reset(text)
	u.in.Reset(&u.text)
	r, err := http.ReadRequest(u.in)
	if err != nil || r.Method != http.MethodGet || r.Proto != "HTTP/1.1" || r.Body != http.NoBody {
		return nil, false
	}
	if u.in.Buffered() > 0 || u.text.Len() > 0 || strings.ContainsFunc(r.Host, isNoAuthorityRune) {
		return nil, false
	}
	for name := range r.Header {
		if strings.Contains(name, " ") { // ReadRequest accepts this
			return nil, false
		}
	}
	return r, true
}

// isPlain reports whether text is a simple HTTP header: ASCII, no continuation lines, one Host.
func isPlain(text []byte) bool {
	if !bytes.HasSuffix(text, []byte("\r\n\r\n")) {
		return false
	}
	hosts := 0
	for line := range bytes.SplitSeq(text, []byte("\n")) {
		if len(line) > 0 && (line[0] == ' ' || line[0] == '\t') || bytes.ContainsFunc(line, isNoTextRune) {
			return false
		}
		if name, _, _ := bytes.Cut(line, []byte(":")); bytes.EqualFold(name, []byte("Host")) {
			hosts++
		}
	}
	return hosts == 1
}

func isNoTextRune(r rune) bool { return r != '\r' && (r < ' ' || r > '~') }

// Header returns a header that is never sent: websocket.Upgrader writes the answer by itself.
func (u *fastUpgrade) Header() http.Header { return http.Header{} }

// Write discards p, see Header.
func (u *fastUpgrade) Write(p []byte) (int, error) { return len(p), nil }

// WriteHeader does nothing, see Header.
func (u *fastUpgrade) WriteHeader(int) {}

// Hijack implements http.Hijacker.
func (u *fastUpgrade) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	u.hijacked = true
	u.in.Reset(u.conn)
	u.out.Reset(u.conn)
	return u.conn, bufio.NewReadWriter(u.in, u.out), nil
}

// ignore is the Upgrader's error callback. net/http then reads the request again and answers.
func (u *fastUpgrade) ignore(http.ResponseWriter, *http.Request, int, error) {}
