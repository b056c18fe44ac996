// Package listeners takes connections in by TCP, TLS, WebSocket and unix socket and hands them to the broker; it also
// serves the operator's HTTP. It does transport only: it never reads MQTT and never decides who somebody is.
//
// A listener is bound when its constructor returns, so a busy port is known before anything else starts; Serve then
// accepts until Close or Shutdown. A failed accept never ends a listener: it waits a little and tries again.
package listeners

import (
	"context"
	"errors"
	"log/slog"
	"net"

	"github.com/outcry-mqtt/outcry/broker"
)

// ErrServerClosed is what Serve returns after Close or Shutdown.
var ErrServerClosed = errors.New("listener closed")

// errNoAttacher is a programmer's mistake.
var errNoAttacher = errors.New("listeners: options without an Attacher")

// Attacher takes over connections; *broker.Broker is one. It owns Link.Conn from the call of Attach on, whatever that
// returns. It is called from several goroutines and must not wait for the peer.
type Attacher interface {
	// Enter is asked about each connection when it is accepted, with its address, or "" if that is a proxy's. After an error
	// it is closed at once, and Attach does not hear of it.
	Enter(remote string) (*broker.Pass, error)
	Attach(broker.Link) error
}

// Listener is what all listeners of this package are.
type Listener interface {
	// Name is the name for metrics, logs and hooks: "tcp", "tls", "ws", "wss", "unix", "http".
	Name() string
	// Addr is the address that was bound: with port 0 it tells which one it became.
	Addr() net.Addr
	// Serve accepts connections until the listener is closed and then returns ErrServerClosed. It is called once.
	Serve() error
	// Shutdown stops accepting, drops peers that have not got past a handshake, lets requests for pages end and
	// returns when nothing is left, or ctx's error. Connections that the Attacher has are not touched.
	Shutdown(ctx context.Context) error
	// Close is Shutdown without patience. Both may be called repeatedly, at any time.
	Close() error
}

// logger returns l with the listener's name, or one that discards.
func logger(l *slog.Logger, name string) *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	return l.With("listener", name)
}

// attach hands a connection over and tells of a refusal, which is the Attacher's to explain: it has closed the
// connection already.
func attach(to Attacher, l broker.Link, log *throttled) {
	if err := to.Attach(l); err != nil {
		log.Log(slog.LevelWarn, "connection not taken", "remote", remoteOf(&l), "error", err)
	}
}

// remoteOf is the address that the Attacher takes the peer's to be.
func remoteOf(l *broker.Link) string {
	if l.Remote != "" {
		return l.Remote
	}
	return l.Conn.RemoteAddr().String()
}
