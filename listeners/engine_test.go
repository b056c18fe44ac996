package listeners_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/listeners"
)

// startBroker runs a broker that accepts everybody, until the end of the test.
func startBroker(t *testing.T) *broker.Broker {
	t.Helper()
	return startLimited(t, broker.Limits{})
}

// startLimited is startBroker with limits.
func startLimited(t *testing.T, limits broker.Limits) *broker.Broker {
	t.Helper()
	b, err := broker.New(broker.Options{Shards: 1, Limits: limits})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- b.Run(context.Background()) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), waitLimit)
		defer cancel()
		if err := b.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return b
}

// webSocketConn is a WebSocket as a net.Conn, for data that fits in one message.
type webSocketConn struct {
	net.Conn
	ws   *websocket.Conn
	rest []byte
}

func (f *webSocketConn) Read(p []byte) (int, error) {
	if len(f.rest) == 0 {
		_, message, err := f.ws.ReadMessage()
		if err != nil {
			return 0, err
		}
		f.rest = message
	}
	n := copy(p, f.rest)
	f.rest = f.rest[n:]
	return n, nil
}

func (f *webSocketConn) Write(p []byte) (int, error) {
	return len(p), f.ws.WriteMessage(websocket.BinaryMessage, p)
}

func dialWS(t *testing.T, url string, config *tls.Config) net.Conn {
	t.Helper()
	d := websocket.Dialer{Subprotocols: []string{"mqtt"}, TLSClientConfig: config, HandshakeTimeout: waitLimit}
	ws, _, err := d.DialContext(t.Context(), url, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ws.Close() })
	ws.SetReadDeadline(time.Now().Add(waitLimit))
	return &webSocketConn{Conn: ws.NetConn(), ws: ws}
}

// Each transport carries CONNECT and CONNACK, and Stats counts its connections separately.
func TestBroker(t *testing.T) {
	server, trusting := serverTLS(t)
	for name, connectTo := range map[string]func(t *testing.T, b *broker.Broker) net.Conn{
		"tcp": func(t *testing.T, b *broker.Broker) net.Conn {
			return dial(t, listenTCP(t, listeners.TCPOptions{Attacher: b}))
		},
		"tls": func(t *testing.T, b *broker.Broker) net.Conn {
			return tls.Client(dial(t, listenTCP(t, listeners.TCPOptions{Attacher: b, TLS: server})), trusting)
		},
		"ws": func(t *testing.T, b *broker.Broker) net.Conn {
			l := listenWS(t, listeners.WebSocketOptions{Attacher: b})
			return dialWS(t, "ws://"+l.Addr().String()+"/mqtt", nil)
		},
		"wss": func(t *testing.T, b *broker.Broker) net.Conn {
			l := listenWS(t, listeners.WebSocketOptions{Attacher: b, TLS: server})
			return dialWS(t, "wss://"+l.Addr().String()+"/mqtt", trusting)
		},
		"unix": func(t *testing.T, b *broker.Broker) net.Conn {
			l, err := listeners.ListenUnix(listeners.UnixOptions{Path: socketPath(t), Attacher: b})
			if err != nil {
				t.Fatal(err)
			}
			serve(t, l)
			return dial(t, l)
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := startBroker(t)
			c := connectTo(t, b)
			if _, err := c.Write(connect); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, len(connack))
			if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, connack) {
				t.Fatalf("got % x, %v; want % x", got, err, connack)
			}
			for _, s := range b.Stats().Connections {
				if s.Listener == name && s.Version == "3.1.1" && s.Open == 1 {
					return
				}
			}
			t.Errorf("Stats does not have it: %+v", b.Stats().Connections)
		})
	}
}

// credentialRecorder is an Authenticator that records credentials.
type credentialRecorder struct{ credentials chan broker.Credentials }

func (s credentialRecorder) Authenticate(_ context.Context, c *broker.Credentials) (*broker.Identity, error) {
	noted := *c
	noted.Header = c.Header.Clone()
	s.credentials <- noted
	return &broker.Identity{Method: "test"}, nil
}

// An authenticator gets the headers of the upgrade.
func TestBrokerSeesHeaders(t *testing.T) {
	hook := credentialRecorder{make(chan broker.Credentials, 1)}
	b, err := broker.New(broker.Options{Shards: 1, Hooks: []any{hook}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		<-ended
	})
	l := listenWS(t, listeners.WebSocketOptions{Attacher: b})
	ws, _, refused := open(t, l, "/mqtt", http.Header{"Authorization": {"Bearer abc"}}, "mqtt")
	if ws == nil {
		t.Fatal(refused)
	}
	if err := ws.WriteMessage(websocket.BinaryMessage, connect); err != nil {
		t.Fatal(err)
	}
	select {
	case c := <-hook.credentials:
		if c.Listener != "ws" || c.Header.Get("Authorization") != "Bearer abc" || c.Remote != ws.LocalAddr().String() {
			t.Errorf("credentials are %+v", c)
		}
	case <-time.After(waitLimit):
		t.Error("nobody was asked")
	}
}
