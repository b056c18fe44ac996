package firstread

import (
	"io"
	"log"
	"net"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

// FuzzRequest compares the requests that are upgraded at once with net/http's reading of the same bytes.
func FuzzRequest(f *testing.F) {
	const whole = "GET /mqtt?a=b HTTP/1.1\r\nHost: a.com:8083\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nCookie: a=b\r\nCookie: c\r\n\r\n"
	for _, seed := range []struct{ from, to string }{
		{"", ""}, {"GET", "POST"}, {"1.1", "1.0"}, {"\r\n", "\n"}, {"Host", "host"}, {"Host", "Hast"}, {"Upgrade:", "Host:"},
		{"a.com", "a.com b"}, {"/mqtt", "http://b.com/mqtt"}, {"/mqtt HTTP/1.1\r\nHost: a.com:8083", "A://0 HTTP/1.1\r\nHost:0 0"}, {"/mqtt", "//mqtt"}, {"Cookie", " Cookie"}, {"Cookie: c", "Co okie: c"},
		{"Cookie", "Content-Length"}, {"Cookie: a=b", "Transfer-Encoding: chunked"}, {"\r\n\r\n", "\r\n\r\nGET / HTTP/1.1\r\n\r\n"},
	} {
		f.Add(strings.ReplaceAll(whole, seed.from, seed.to))
	}
	ask := ordinaryServer(f)
	f.Fuzz(func(t *testing.T, text string) {
		q := requests.Get().(*request)
		defer q.release()
		got, ok := q.read([]byte(text))
		if !ok {
			return
		}
		want := ask(text)
		if want == nil {
			t.Fatalf("net/http does not answer %q", text)
		}
		if got.Method != want.Method || got.Host != want.Host || !reflect.DeepEqual(got.URL, want.URL) || !reflect.DeepEqual(got.Header, want.Header) {
			t.Errorf("%q is %s %v of %q with %v\nand %s %v of %q with %v to net/http", text,
				got.Method, got.URL, got.Host, got.Header, want.Method, want.URL, want.Host, want.Header)
		}
	})
}

// ordinaryServer starts a net/http server. The result sends it a text and returns the request that its handler gets,
// or nil.
func ordinaryServer(f *testing.F) func(text string) *http.Request {
	conns, seen := make(chan net.Conn), make(chan *http.Request, 1)
	server := &http.Server{
		Handler:  http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r }),
		ErrorLog: log.New(io.Discard, "", 0),
	}
	l := &pipeListener{conns, make(chan struct{})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	f.Cleanup(func() {
		server.Close()
		<-done
	})
	return func(text string) *http.Request {
		ours, theirs := net.Pipe()
		defer ours.Close()
		conns <- theirs
		if _, err := io.WriteString(ours, text); err != nil {
			return nil
		}
		if _, err := ours.Read(make([]byte, 1)); err != nil { // the answer begins
			return nil
		}
		select {
		case r := <-seen:
			return r
		default:
			return nil
		}
	}
}

// pipeListener is a net.Listener for the ends of pipes.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { close(l.closed); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{} }
