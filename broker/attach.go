package broker

import (
	"crypto/tls"
	"errors"
	"fmt"
	"hash/maphash"
	"net"
	"net/http"
	"slices"

	"github.com/outcry-mqtt/outcry/broker/topic"
	"github.com/outcry-mqtt/outcry/broker/wire"
)

// ErrTooManyConnections is returned by Attach when Limits.MaxConnections are open, and by Attach and Enter if the peer's
// address has as many connections as it may, or as many that have not sent CONNECT, or if they come too fast.
var ErrTooManyConnections = errors.New("broker: too many connections")

// Link is a network connection that is ready to carry MQTT.
type Link struct {
	Conn     net.Conn             // carries MQTT packets, or WebSocket frames if Framed
	FD       int                  // on Linux, instead of Conn: a connected stream socket that does not block; 0: none
	Listener string               // the listener's name, for metrics and hooks
	Framed   bool                 // WebSocket, after the upgrade: we unmask, answer pings, frame and close (RFC 6455)
	Deflate  bool                 // and permessage-deflate without context takeover was agreed, in both directions (RFC 7692)
	Header   http.Header          // of the upgrade; nil without
	TLS      *tls.ConnectionState // nil without
	Remote   string               // the peer's address; empty: that of Conn; always given with FD
	Pass     *Pass                // of Enter; nil: the connection is counted, and its time begins, when it is attached
}

// Attach gives the broker a connection. The broker closes it, also if it returns an error: ErrClosed,
// ErrTooManyConnections, or what the system said.
func (b *Broker) Attach(l Link) error {
	remote := l.remote()
	p, err := b.take(&l, remote)
	if err != nil {
		l.Close()
		return err
	}
	if b.connections.Add(1) > b.maxConnections.Load() {
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

// Close closes the connection that the link has, for who does not attach it.
func (l *Link) Close() {
	if l.Conn != nil {
		_ = l.Conn.Close()
	} else {
		closeFD(int32(l.FD))
	}
}

// remote is the peer's address; "" if it has none.
func (l *Link) remote() string {
	if l.Remote == "" && l.Conn.RemoteAddr() != nil {
		return l.Conn.RemoteAddr().String()
	}
	return l.Remote
}

func (b *Broker) newConn(l Link, remote string) (*conn, error) {
	c := &conn{b: b, listener: l.Listener, remote: remote, problemInfo: true, fd: -1}
	if l.Header != nil || l.TLS != nil {
		c.hello = &hello{header: l.Header, tls: l.TLS}
	}
	if l.Framed {
		c.ws = new(webSocket)
		if c.deflates = l.Deflate; c.deflates {
			c.ws.deflation = new(deflation)
		}
	}
	if l.Conn == nil {
		c.fd = int32(l.FD)
		return c, nil
	}
	fd, ok, err := detach(l.Conn)
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

// Publish publishes a message as the broker itself: no rule is asked. It returns when the message is on its way, or an
// error if the topic cannot be published to, the message is larger than Limits.MaxPacketBytes, or the broker is closed.
func (b *Broker) Publish(m Message) error {
	if err := topic.CheckName(m.Topic); err != nil {
		return fmt.Errorf("broker: publish %q: %w", m.Topic, err)
	}
	if reserved(m.Topic) || topic.Levels(m.Topic) > b.limits.MaxTopicLevels {
		return fmt.Errorf("broker: publish %q: the topic is reserved or too deep", m.Topic)
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
	one.kept = &one
	s := b.shards[maphash.String(idSeed, m.Topic)%uint64(len(b.shards))]
	if !s.post(call(func(s *shard) { s.publish(&one, s.routeOf(one.topic), nil) })) {
		return ErrClosed
	}
	return nil
}
