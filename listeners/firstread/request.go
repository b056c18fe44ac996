package firstread

import (
	"bufio"
	"bytes"
	"net"
	"net/http"
	"strings"
	"sync"
)

// requestBytes is the size of net/http's reads, and so the longest request that is upgraded at once.
const requestBytes = 4 << 10

// request holds the reusable state to read and answer one WebSocket request. It is also the request's ResponseWriter,
// which can only be hijacked.
type request struct {
	text     bytes.Reader
	in       *bufio.Reader
	out      *bufio.Writer
	conn     net.Conn
	hijacked bool
}

var requests = sync.Pool{New: func() any {
	return &request{in: bufio.NewReaderSize(nil, requestBytes), out: bufio.NewWriterSize(nil, requestBytes)}
}}

// release returns the state to the pool.
func (q *request) release() {
	q.text.Reset(nil)
	q.in.Reset(nil)
	q.out.Reset(nil)
	q.conn, q.hijacked = nil, false
	requests.Put(q)
}

// read parses a request. It reports false unless text is exactly one plain GET request: net/http handles
// everything else.
func (q *request) read(text []byte) (*http.Request, bool) {
	if !isPlain(text) {
		return nil, false
	}
	q.text.Reset(text)
	q.in.Reset(&q.text)
	r, err := http.ReadRequest(q.in)
	if err != nil || r.Proto != "HTTP/1.1" || r.Body != http.NoBody {
		return nil, false
	}
	if q.in.Buffered() > 0 || q.text.Len() > 0 || strings.ContainsFunc(r.Host, isNoHostRune) {
		return nil, false
	}
	for name := range r.Header {
		if strings.Contains(name, " ") { // ReadRequest accepts this
			return nil, false
		}
	}
	return r, true
}

// isPlain reports whether text is a simple HTTP header: a GET of a path, ASCII, no continuation lines, one Host.
func isPlain(text []byte) bool {
	if !bytes.HasPrefix(text, []byte("GET /")) || !bytes.HasSuffix(text, []byte("\r\n\r\n")) {
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

// isNoHostRune reports whether net/http might refuse the rune in a Host.
func isNoHostRune(r rune) bool {
	return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && !strings.ContainsRune("-.:[]_", r)
}

// Header returns a header that is never sent: websocket.Upgrader writes the answer by itself.
func (q *request) Header() http.Header { return http.Header{} }

// Write discards p, see Header.
func (q *request) Write(p []byte) (int, error) { return len(p), nil }

// WriteHeader does nothing, see Header.
func (q *request) WriteHeader(int) {}

// Hijack implements http.Hijacker.
func (q *request) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	q.hijacked = true
	q.in.Reset(q.conn)
	q.out.Reset(q.conn)
	return q.conn, bufio.NewReadWriter(q.in, q.out), nil
}
