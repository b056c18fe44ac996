package broker

import (
	"crypto/tls"
	"errors"
	"fmt"
	"hash/maphash"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/outcry-mqtt/outcry/broker/topic"
	"github.com/outcry-mqtt/outcry/internal/poller"
	"github.com/outcry-mqtt/outcry/internal/wire"
)

// ErrTooManyConnections is returned by Attach if Limits.MaxConnections are open. Attach and Admit return it if the peer's address
// has too many connections, has too many that have not sent CONNECT, or connects too fast.
var ErrTooManyConnections = errors.New("broker: too many connections")

// Conn is a network connection that is ready to carry MQTT.
type Conn struct {
	Conn     net.Conn             // carries MQTT packets, or WebSocket frames if Framed
	FD       int                  // Linux only, in place of Conn: a connected, non-blocking stream socket; 0: none
	Listener string               // the listener's name, for metrics and hooks
	Framed   bool                 // a WebSocket after its upgrade: the broker unmasks, answers pings, frames and closes (RFC 6455)
	Ping     time.Duration        // silence after which a WebSocket client is pinged; 0: never
	Deflate  bool                 // permessage-deflate without context takeover was negotiated in both directions (RFC 7692)
	Header   http.Header          // of the upgrade request; nil: no WebSocket
	TLS      *tls.ConnectionState // nil: no TLS
	Remote   string               // the peer's address; empty: that of Conn; required with FD
	Ticket   *Ticket              // from Admit; nil: Attach counts the connection and starts its CONNECT timeout
}

// Attach hands a connection to the broker. The broker closes it, even if Attach fails with ErrClosed, ErrTooManyConnections or a
// system error.
func (b *Broker) Attach(l Conn) error {
	remote := l.remote()
	p, err := b.take(&l, remote)
	if err != nil {
		l.Close()
		return err
	}
	if b.connections.Add(1) > b.live.maxConnections.Load() {
		b.connections.Add(-1)
		p.source.Leave(true, b.clock.now())
		l.Close()
		b.limited(limitConnections, remote, "")
		return ErrTooManyConnections
	}
	c, err := b.newConn(l, remote)
	if err != nil {
		b.connections.Add(-1)
		p.source.Leave(true, b.clock.now())
		l.Close()
		return fmt.Errorf("broker: attach %s: %w", l.Listener, err)
	}
	c.use(p)
	s := b.shards[b.turn.Add(1)%uint64(len(b.shards))]
	if c.carrier != nil {
		c.carrier.settle(s)
	}
	if !s.post(c) {
		c.release()
		return ErrClosed
	}
	if c.carrier != nil {
		c.carrier.start(&b.streams)
	}
	return nil
}

// Close closes a connection that is not attached.
func (l *Conn) Close() {
	if l.Conn != nil {
		_ = l.Conn.Close()
	} else {
		poller.CloseFD(int32(l.FD))
	}
}

// remote returns the peer's address; "" if it has none.
func (l *Conn) remote() string {
	if l.Remote == "" && l.Conn.RemoteAddr() != nil {
		return l.Conn.RemoteAddr().String()
	}
	return l.Remote
}

func (b *Broker) newConn(l Conn, remote string) (*conn, error) {
	c := &conn{b: b, listener: l.Listener, remote: remote, identity: identity{problemInfo: true}, fd: -1}
	if l.Header != nil || l.TLS != nil {
		c.hello = &hello{header: l.Header, tls: l.TLS}
	}
	if l.Framed {
		c.ws = new(webSocket)
		c.ws.setPing(l.Ping)
		if c.output.deflates = l.Deflate; c.output.deflates {
			c.ws.deflation = new(deflation)
		}
	}
	if l.Conn == nil {
		c.fd = int32(l.FD)
		return c, nil
	}
	fd, ok, err := poller.Detach(l.Conn)
	switch {
	case err != nil:
		return nil, err
	case ok:
		c.fd = fd
	default:
		c.carrier = newStream(c, l.Conn)
	}
	return c, nil
}

// Publish publishes a message as the broker itself, without asking any authorizer. It returns once the message is posted to a
// shard. It fails if clients could not publish to the topic, if the message is larger than Limits.MaxPacketBytes, or with
// ErrClosed.
func (b *Broker) Publish(m Message) error {
	if err := topic.CheckName(m.Topic); err != nil {
		return fmt.Errorf("broker: publish %q: %w", m.Topic, err)
	}
	if reserved(m.Topic) || topic.Levels(m.Topic) > b.limits.MaxTopicLevels {
		return fmt.Errorf("broker: publish %q: the topic is reserved or has too many levels", m.Topic)
	}
	if b.limits.refuses(m.Topic) || b.limits.refuses(m.ResponseTopic) {
		return fmt.Errorf("broker: publish %q: the topic or the response topic has a control character or a non-character", m.Topic)
	}
	if m.QoS > 2 {
		return fmt.Errorf("broker: publish %q: QoS %d", m.Topic, m.QoS)
	}
	m.Payload = slices.Clone(m.Payload)
	one, err := m.internal(b.clock.now())
	if err != nil {
		return fmt.Errorf("broker: publish %q: %w", m.Topic, err)
	}
	var o wire.Outgoing
	if one.fill(&o, one.read); wire.PublishSize(wire.V5, &o) > b.limits.MaxPacketBytes {
		return fmt.Errorf("broker: publish %q: message larger than %d bytes", m.Topic, b.limits.MaxPacketBytes)
	}
	one.own = &one
	s := b.shards[maphash.String(idSeed, m.Topic)%uint64(len(b.shards))]
	if !s.post(call(func(s *shard) { s.publish(&one, s.topics.of(one.topic), nil) })) {
		return ErrClosed
	}
	return nil
}
