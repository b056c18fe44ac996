package listeners

import (
	"bufio"
	"bytes"
	"net"
	"net/http"
	"strings"
	"sync"
)

// atOnceBytes is how much net/http reads at a time, and so how long a request may be that is upgraded at once.
const atOnceBytes = 4 << 10

// atOnce is what it takes to read and answer one request for a WebSocket, used again and again. It is the request's
// ResponseWriter as well, whose only use is to be hijacked.
type atOnce struct {
	text     bytes.Reader
	in       *bufio.Reader
	out      *bufio.Writer
	conn     net.Conn
	hijacked bool
}

var atOnces = sync.Pool{New: func() any {
	return &atOnce{in: bufio.NewReaderSize(nil, atOnceBytes), out: bufio.NewWriterSize(nil, atOnceBytes)}
}}

// release keeps what was used for the next one.
func (u *atOnce) release() {
	u.text.Reset(nil)
	u.in.Reset(nil)
	u.out.Reset(nil)
	u.conn, u.hijacked = nil, false
	atOnces.Put(u)
}

// readRequest reads a request from its text. It reports false if that is not a plain GET and nothing else: what is odd
// is for net/http to judge.
func (u *atOnce) readRequest(text []byte) (*http.Request, bool) {
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
		if strings.Contains(name, " ") { // which ReadRequest lets pass
			return nil, false
		}
	}
	return r, true
}

// isPlain reports whether text looks like one header of HTTP: ASCII, without continued lines, with one Host.
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

// Header returns a header that is not sent: what a request for a WebSocket is answered with says websocket.Upgrader.
func (u *atOnce) Header() http.Header { return http.Header{} }

// Write writes nothing, see Header.
func (u *atOnce) Write(p []byte) (int, error) { return len(p), nil }

// WriteHeader writes nothing, see Header.
func (u *atOnce) WriteHeader(int) {}

// Hijack implements http.Hijacker.
func (u *atOnce) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	u.hijacked = true
	u.in.Reset(u.conn)
	u.out.Reset(u.conn)
	return u.conn, bufio.NewReadWriter(u.in, u.out), nil
}

// ignore is told what is wrong with a request. net/http will read it again, and its sender be told then.
func (u *atOnce) ignore(http.ResponseWriter, *http.Request, int, error) {}
