// Package listeners accepts connections by TCP, TLS, WebSocket and unix socket and hands them to the broker. It also
// serves the operator's HTTP. It handles the transport only: it never reads MQTT and never authenticates.
//
// A listener is bound when its constructor returns, so that a busy port is reported before anything else starts.
// Serve then accepts until Close or Shutdown. A failed accept never ends a listener: it is repeated after a pause.
package listeners

import (
	"context"
	"errors"
	"log/slog"
	"net"

	"github.com/outcry-mqtt/outcry/broker"
)

// ErrServerClosed is Serve's error after Close or Shutdown.
var ErrServerClosed = errors.New("listener closed")

// errNoAttacher reports a programming error.
var errNoAttacher = errors.New("listeners: the options have no Attacher")

// Attacher takes over connections; *broker.Broker is one. It owns Conn.Conn from the call of Attach on, even if that
// fails. It is called concurrently and must not wait for the peer.
type Attacher interface {
	// Enter is called for each accepted connection with its address, or "" for a proxy's. After an error the
	// connection is closed at once and never attached.
	Admit(remote string) (*broker.Ticket, error)
	Attach(broker.Conn) error
}

// Listener is the common interface of this package's listeners.
type Listener interface {
	// Name returns the name for metrics, logs and hooks: "tcp", "tls", "ws", "wss", "unix", "http".
	Name() string
	// Addr returns the bound address, with the actual port if 0 was configured.
	Addr() net.Addr
	// Serve accepts connections until the listener is closed, then returns ErrServerClosed. Call it once.
	Serve() error
	// Shutdown stops accepting, drops unfinished handshakes, waits for requests for pages and returns when none is
	// left, or ctx's error. It does not touch attached connections.
	Shutdown(ctx context.Context) error
	// Close is Shutdown without waiting. Both may be called repeatedly, at any time.
	Close() error
}

// logger returns l with the listener's name, or a logger that discards.
func logger(l *slog.Logger, name string) *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	return l.With("listener", name)
}

// attach hands a connection to the Attacher and logs a refusal. The Attacher has closed the connection then.
func attach(to Attacher, l broker.Conn, log *rateLimitedLog) {
	if err := to.Attach(l); err != nil {
		log.Log(slog.LevelWarn, "connection not admitted", "remote", remoteOf(&l), "error", err)
	}
}

// remoteOf returns the peer's address for the Attacher.
func remoteOf(l *broker.Conn) string {
	if l.Remote != "" {
		return l.Remote
	}
	return l.Conn.RemoteAddr().String()
}
