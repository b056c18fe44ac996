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

	firstPause   = 200 * time.Millisecond // between attempts to connect; doubled each time
	longestPause = 10 * time.Second

	// receiveMaximum also bounds a buffer that Paho allocates for each connection, of 64 Ki messages otherwise.
	receiveMaximum uint16 = 64
)

// Refusal is the broker's refusal of a connection.
type Refusal struct {
	Code   byte   // MQTT 5's reason code, 0x80 and above
	Reason string // the broker's reason string; often empty
}

// Error tells the code and, if there is one, the broker's reason.
func (r *Refusal) Error() string {
	if r.Reason == "" {
		return fmt.Sprintf("the broker refused the connection (0x%02X)", r.Code)
	}
	return fmt.Sprintf("the broker refused the connection (0x%02X): %s", r.Code, r.Reason)
}

// device is one client that keeps its connection up.
type device struct {
	// Static after construction.
	fleet *base
	id    string
	user  string
	spec  spec
	log   *slog.Logger
	cm    *autopaho.ConnectionManager

	conn atomic.Pointer[packetConn]                 // the newest connection
	up   atomic.Pointer[autopaho.ConnectionManager] // nil while there is no connection
	ups  sync.WaitGroup                             // of spec.onUp
	// Owned by Paho's connection loop.
	connected bool // at least once
}

// spec is what a device does with its connection.
type spec struct {
	will      *paho.WillMessage
	onUp      func(ctx context.Context, d *device) // runs in a goroutine of the device after each connect
	onMessage func(*paho.Publish)
}

// connect starts a device, which connects in the background. leave must be called when it is done.
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
		OnConnectionUp:                func(cm *autopaho.ConnectionManager, _ *paho.Connack) { d.wentUp(ctx, cm) },
		OnConnectionDown:              d.wentDown,
		OnConnectError:                d.failed,
		ClientConfig: paho.ClientConfig{
			ClientID:           id,
			PacketTimeout:      publishTimeout,
			OnPublishReceived:  []func(paho.PublishReceived) (bool, error){d.received},
			OnServerDisconnect: d.dismissed,
			OnClientError:      func(err error) { d.log.Debug("connection lost", "error", err) },
		},
	})
	d.cm = cm
	return d, err
}

// pause is how long to wait before a number of attempts that failed; spread, so that a fleet does not come all at once.
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

func (d *device) wentUp(ctx context.Context, cm *autopaho.ConnectionManager) {
	d.connected = true
	d.up.Store(cm)
	d.fleet.counters.connected.Add(1)
	d.fleet.counters.connects.Add(1)
	d.log.Debug("connected")
	if d.spec.onUp != nil && ctx.Err() == nil {
		d.ups.Go(func() { d.spec.onUp(ctx, d) })
	}
}

func (d *device) wentDown() bool {
	d.up.Store(nil)
	d.fleet.counters.connected.Add(-1)
	return true
}

func (d *device) dismissed(p *paho.Disconnect) {
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

// publish sends a message if the device is connected; with QoS 1 it returns once the broker has acknowledged it.
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
		return // and will be called again
	}
	_, err := cm.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: filter, QoS: 1, NoLocal: true}}})
	if err != nil && ctx.Err() == nil {
		d.fleet.counters.errors.Add(1)
		d.log.Warn("subscription refused", "filter", filter, "error", err)
	}
}

// batch lets fn publish with QoS 0 and sends all of it with one write.
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
