package devices

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"
)

const (
	keepAlive      = 30 // seconds
	connectTimeout = 10 * time.Second
	publishTimeout = 10 * time.Second
	leaveTimeout   = 2 * time.Second // for the last messages and the DISCONNECT

	firstPause   = 200 * time.Millisecond // between attempts to connect; doubles each time
	longestPause = 10 * time.Second

	// receiveMaximum also sizes a buffer that Paho allocates for each connection, 64 Ki messages by default.
	receiveMaximum uint16 = 64
)

// Refusal is the broker's refusal of a connection.
type Refusal struct {
	Code   byte   // MQTT 5's reason code, 0x80 and above
	Reason string // the broker's reason string; often empty
}

// Error returns the code and, if there is one, the broker's reason.
func (r *Refusal) Error() string {
	if r.Reason == "" {
		return fmt.Sprintf("the broker refused the connection (0x%02X)", r.Code)
	}
	return fmt.Sprintf("the broker refused the connection (0x%02X): %s", r.Code, r.Reason)
}

// device is one client. It reconnects when its connection is lost.
type device struct {
	// Static after construction.
	fleet *base
	id    string
	user  string
	spec  spec
	log   *slog.Logger
	cm    *autopaho.ConnectionManager

	conn atomic.Pointer[packetConn]                 // the newest connection
	up   atomic.Pointer[autopaho.ConnectionManager] // nil while disconnected
	ups  sync.WaitGroup                             // goroutines of spec.onUp
	// Owned by Paho's connection loop.
	connected bool // has connected at least once
}

// spec is a device's behaviour on its connection.
type spec struct {
	will      *paho.WillMessage
	onUp      func(ctx context.Context, d *device) // runs in a goroutine after each connect
	onMessage func(*paho.Publish)
}

// connect starts a device, which connects in the background. Call leave at its end.
func (b *base) connect(ctx context.Context, id, user string, s spec) (*device, error) {
	d := &device{fleet: b, id: id, user: user, spec: s, log: b.log.With("client", id)}
	cm, err := autopaho.NewConnection(context.WithoutCancel(ctx), autopaho.ClientConfig{
		ServerUrls:                    []*url.URL{b.broker},
		KeepAlive:                     keepAlive,
		CleanStartOnInitialConnection: true,
		ConnectTimeout:                connectTimeout,
		ReconnectBackoff:              d.pause,
		AttemptConnection:             d.dial,
		ConnectPacketBuilder:          d.packet,
		WillMessage:                   s.will,
		OnConnectionUp:                func(cm *autopaho.ConnectionManager, _ *paho.Connack) { d.connectionUp(ctx, cm) },
		OnConnectionDown:              d.connectionDown,
		OnConnectError:                d.failed,
		ClientConfig: paho.ClientConfig{
			ClientID:           id,
			PacketTimeout:      publishTimeout,
			OnPublishReceived:  []func(paho.PublishReceived) (bool, error){d.received},
			OnServerDisconnect: d.serverDisconnected,
			OnClientError:      func(err error) { d.log.Debug("connection lost", "error", err) },
		},
	})
	d.cm = cm
	return d, err
}

// pause returns the wait after a number of failed attempts, with jitter, so that a fleet does not reconnect all at
// once.
func (d *device) pause(attempts int) time.Duration {
	if attempts == 0 && !d.connected {
		return 0
	}
	longest := min(firstPause<<min(attempts, 10), longestPause)
	return longest/2 + rand.N(longest/2)
}

func (d *device) dial(ctx context.Context, _ autopaho.ClientConfig, u *url.URL) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := Dial(ctx, u, d.fleet.opts.TLS)
	if err != nil {
		return nil, err
	}
	c := &packetConn{Conn: conn}
	d.conn.Store(c)
	return c, nil
}

// packet completes a CONNECT with a fresh token.
func (d *device) packet(p *paho.Connect, _ *url.URL) (*paho.Connect, error) {
	limit := receiveMaximum
	p.Properties = &paho.ConnectProperties{ReceiveMaximum: &limit, RequestProblemInfo: true}
	if d.fleet.opts.Token == nil {
		return p, nil
	}
	p.UsernameFlag, p.Username = true, d.user
	p.PasswordFlag, p.Password = true, []byte(d.fleet.opts.Token(d.user))
	return p, nil
}

func (d *device) connectionUp(ctx context.Context, cm *autopaho.ConnectionManager) {
	d.connected = true
	d.up.Store(cm)
	d.fleet.counters.connected.Add(1)
	d.fleet.counters.connects.Add(1)
	d.log.Debug("connected")
	if d.spec.onUp != nil && ctx.Err() == nil {
		d.ups.Go(func() { d.spec.onUp(ctx, d) })
	}
}

func (d *device) connectionDown() bool {
	d.up.Store(nil)
	d.fleet.counters.connected.Add(-1)
	return true
}

func (d *device) serverDisconnected(p *paho.Disconnect) {
	reason := ""
	if p.Properties != nil {
		reason = p.Properties.ReasonString
	}
	d.log.Info("broker ended the connection", "code", fmt.Sprintf("0x%02X", p.ReasonCode), "reason", reason)
}

func (d *device) failed(err error) {
	d.fleet.counters.errors.Add(1)
	var refused *autopaho.ConnackError
	if !errors.As(err, &refused) {
		d.log.Debug("cannot connect", "error", err)
		return
	}
	r := &Refusal{Code: refused.ReasonCode, Reason: refused.Reason}
	d.log.Warn("connection refused", "error", r)
	if d.fleet.opts.Refused != nil {
		d.fleet.opts.Refused(r)
	}
}

func (d *device) received(p paho.PublishReceived) (bool, error) {
	d.fleet.counters.received.Add(1)
	if d.spec.onMessage != nil {
		d.spec.onMessage(p.Packet)
	}
	return true, nil
}

// publish sends a message if the device is connected. At QoS 1 it returns after the acknowledgement.
func (d *device) publish(ctx context.Context, p *paho.Publish) {
	cm := d.up.Load()
	if cm == nil {
		d.fleet.counters.missed.Add(1)
		return
	}
	_, err := cm.Publish(ctx, p)
	switch {
	case err == nil:
		d.fleet.counters.published.Add(1)
	case ctx.Err() == nil:
		d.fleet.counters.errors.Add(1)
		d.log.Debug("publish failed", "topic", p.Topic, "error", err)
	}
}

// subscribe subscribes to a filter with QoS 1, without the device's own messages.
func (d *device) subscribe(ctx context.Context, filter string) {
	cm := d.up.Load()
	if cm == nil {
		return // onUp runs again after the next connect
	}
	_, err := cm.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: filter, QoS: 1, NoLocal: true}}})
	if err != nil && ctx.Err() == nil {
		d.fleet.counters.errors.Add(1)
		d.log.Warn("subscription refused", "filter", filter, "error", err)
	}
}

// batch runs fn and sends the QoS 0 messages that it publishes with one write.
func (d *device) batch(fn func()) {
	c := d.conn.Load()
	if c == nil {
		fn()
		return
	}
	c.hold()
	fn()
	c.release()
}

// leave publishes the device's last messages if it is connected, and disconnects.
func (d *device) leave(last ...*paho.Publish) {
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	if d.up.Load() != nil {
		for _, p := range last {
			d.publish(ctx, p)
		}
	}
	_ = d.cm.Disconnect(ctx)
	d.ups.Wait()
	if d.up.Swap(nil) != nil {
		d.fleet.counters.connected.Add(-1)
	}
}
