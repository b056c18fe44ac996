package listeners_test

import (
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/listeners"
)

func listenTCP(t *testing.T, o listeners.TCPOptions) *listeners.TCP {
	t.Helper()
	o.Address = "127.0.0.1:0"
	l, err := listeners.ListenTCP(o)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, l)
	return l
}

func TestTCPHandsOver(t *testing.T) {
	to := newTestAttacher()
	l := listenTCP(t, listeners.TCPOptions{Attacher: to})
	client := dial(t, l)
	link := to.next(t)
	if link.Listener != "tcp" || link.Framed || link.TLS != nil || link.Remote != client.LocalAddr().String() {
		t.Errorf("link is %+v", link)
	}
	if _, ok := link.Conn.(*net.TCPConn); !ok {
		t.Errorf("the connection is a %T: the broker could not poll it", link.Conn)
	}
	wantTalk(t, client, link.Conn)
}

// refusingAttacher is an Attacher that refuses every connection.
type refusingAttacher struct{}

func (refusingAttacher) Admit(string) (*broker.Ticket, error) { return nil, nil }

func (refusingAttacher) Attach(l broker.Conn) error {
	l.Close()
	return errors.New("too many connections")
}

func TestTCPTellsOfRefusal(t *testing.T) {
	var log logs
	l := listenTCP(t, listeners.TCPOptions{Attacher: refusingAttacher{}, Logger: log.logger()})
	wantClosed(t, dial(t, l))
	wantClosed(t, dial(t, l))
	if err := l.Close(); err != nil { // waits for Serve, and so for its log
		t.Fatal(err)
	}
	if n := strings.Count(log.String(), "too many connections"); n != 1 {
		t.Errorf("%d lines, want 1 in ten seconds: %s", n, log.String())
	}
}

func TestTLSHandsOver(t *testing.T) {
	to := newTestAttacher()
	server, client := serverTLS(t)
	l := listenTCP(t, listeners.TCPOptions{Attacher: to, TLS: server})
	c := tls.Client(dial(t, l), client)
	if err := c.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	link := to.next(t)
	if link.Listener != "tls" || link.TLS == nil || !link.TLS.HandshakeComplete || link.TLS.Version != tls.VersionTLS13 {
		t.Errorf("link is %+v with TLS %+v", link, link.TLS)
	}
	wantTalk(t, c, link.Conn)
}

func TestTLSRefusesOldVersions(t *testing.T) {
	server, client := serverTLS(t)
	l := listenTCP(t, listeners.TCPOptions{Attacher: newTestAttacher(), TLS: server})
	client.MinVersion, client.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	if err := tls.Client(dial(t, l), client).HandshakeContext(t.Context()); err == nil {
		t.Error("TLS 1.1 was accepted")
	}
}

// A silent peer is dropped at its timeout, and blocks nobody else.
func TestTLSSilentPeer(t *testing.T) {
	t.Parallel()
	to := newTestAttacher()
	server, client := serverTLS(t)
	l := listenTCP(t, listeners.TCPOptions{Attacher: to, TLS: server, HandshakeTimeout: dropTime})
	silent := dial(t, l)
	c := tls.Client(dial(t, l), client)
	if err := c.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	to.next(t)
	wantClosed(t, silent)
	to.wantNone(t)
}

func TestTLSBoundsHandshakes(t *testing.T) {
	t.Parallel()
	to := newTestAttacher()
	server, client := serverTLS(t)
	l := listenTCP(t, listeners.TCPOptions{Attacher: to, TLS: server, HandshakeTimeout: dropTime, MaxHandshakes: 1})
	begin := time.Now()
	silent := dial(t, l)
	c := tls.Client(dial(t, l), client)
	if err := c.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	to.next(t)
	if took := time.Since(begin); took < dropTime/2 {
		t.Errorf("the second handshake took %v and did not wait for the first", took)
	}
	wantClosed(t, silent)
}

func TestTLSCloseDropsHandshakes(t *testing.T) {
	for name, stop := range closeMethods {
		t.Run(name, func(t *testing.T) {
			server, _ := serverTLS(t)
			l := listenTCP(t, listeners.TCPOptions{Attacher: newTestAttacher(), TLS: server, HandshakeTimeout: time.Hour})
			silent := dial(t, l)
			if _, err := silent.Write([]byte{22, 3, 1}); err != nil { // the start of a record
				t.Fatal(err)
			}
			if err := stop(t, l); err != nil {
				t.Error(err)
			}
			wantClosed(t, silent)
		})
	}
}

// closeMethods are the ways to end a listener. Shutdown has less time than the five seconds after which net/http drops fresh
// connections by itself.
var closeMethods = map[string]func(*testing.T, listeners.Listener) error{
	"close":    func(_ *testing.T, l listeners.Listener) error { return l.Close() },
	"shutdown": func(t *testing.T, l listeners.Listener) error { return l.Shutdown(within(t, 4*time.Second)) },
}

func TestServeAfterClose(t *testing.T) {
	all := map[string]func() (listeners.Listener, error){
		"tcp": func() (listeners.Listener, error) {
			return listeners.ListenTCP(listeners.TCPOptions{Address: "127.0.0.1:0", Attacher: newTestAttacher()})
		},
		"ws": func() (listeners.Listener, error) {
			return listeners.ListenWebSocket(listeners.WebSocketOptions{Address: "127.0.0.1:0", Attacher: newTestAttacher()})
		},
		"http": func() (listeners.Listener, error) {
			return listeners.ListenOps(listeners.OpsOptions{Address: "127.0.0.1:0"})
		},
	}
	for name, listen := range all {
		for how, stop := range closeMethods {
			t.Run(name+" "+how, func(t *testing.T) {
				l, err := listen()
				if err != nil {
					t.Fatal(err)
				}
				if l.Name() != name {
					t.Errorf("name is %q", l.Name())
				}
				for range 2 {
					if err := stop(t, l); err != nil {
						t.Error(err)
					}
				}
				if err := l.Serve(); !errors.Is(err, listeners.ErrServerClosed) {
					t.Errorf("Serve returned %v", err)
				}
				if c, err := net.Dial("tcp", l.Addr().String()); err == nil {
					c.Close()
					t.Error("the port is still open")
				}
			})
		}
	}
}

func TestNoAttacher(t *testing.T) {
	if _, err := listeners.ListenTCP(listeners.TCPOptions{}); err == nil {
		t.Error("tcp without an Attacher")
	}
	if _, err := listeners.ListenWebSocket(listeners.WebSocketOptions{}); err == nil {
		t.Error("websocket without an Attacher")
	}
	if _, err := listeners.ListenUnix(listeners.UnixOptions{}); err == nil {
		t.Error("unix without an Attacher")
	}
}
