package clients_test

import (
	"context"
	"crypto/tls"
	"net/url"
	"sync"
	"testing"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"
	"github.com/outcry-mqtt/outcry/devices"
)

// client5 is a client of Eclipse Paho for MQTT 5 with automatic reconnect.
type client5 struct {
	t  *testing.T
	cm *autopaho.ConnectionManager

	messages    chan *paho.Publish
	onMessage   func(*paho.Publish) // if set, receives the messages instead of the channel
	up          chan *paho.Connack
	disconnects chan *paho.Disconnect // from the server
	refusals    chan error
	stop        func()
}

// connect5 connects a client. set, if not nil, may change its configuration.
func connect5(t *testing.T, broker string, set func(*autopaho.ClientConfig)) *client5 {
	t.Helper()
	c := begin5(t, broker, set)
	mustReceive(t, "the connection", c.up)
	return c
}

// begin5 is connect5 without waiting for the connection.
func begin5(t *testing.T, broker string, set func(*autopaho.ClientConfig)) *client5 {
	t.Helper()
	u, err := devices.ParseURL(broker)
	if err != nil {
		t.Fatal(err)
	}
	c := &client5{
		t:           t,
		messages:    make(chan *paho.Publish, 100_000),
		up:          make(chan *paho.Connack, 100),
		disconnects: make(chan *paho.Disconnect, 100),
		refusals:    make(chan error, 100),
	}
	conf := autopaho.ClientConfig{
		ServerUrls:                    []*url.URL{u},
		KeepAlive:                     30,
		ConnectTimeout:                waitLimit,
		CleanStartOnInitialConnection: true,
		ReconnectBackoff:              autopaho.NewConstantBackoff(50e6),
		OnConnectionUp:                func(_ *autopaho.ConnectionManager, ack *paho.Connack) { c.up <- ack },
		OnConnectError:                func(err error) { offer(c.refusals, err) },
		ClientConfig: paho.ClientConfig{
			ClientID:           clientID(t),
			PacketTimeout:      waitLimit,
			OnServerDisconnect: func(d *paho.Disconnect) { offer(c.disconnects, d) },
			OnPublishReceived:  []func(paho.PublishReceived) (bool, error){c.take},
		},
	}
	if set != nil {
		set(&conf)
	}
	ctx, cancel := context.WithCancel(context.Background())
	if c.cm, err = autopaho.NewConnection(ctx, conf); err != nil {
		t.Fatal(err)
	}
	c.stop = sync.OnceFunc(func() {
		cancel()
		<-c.cm.Done()
	})
	t.Cleanup(c.stop)
	return c
}

// offer puts v into c unless it is full.
func offer[T any](c chan T, v T) {
	select {
	case c <- v:
	default:
	}
}

func (c *client5) take(p paho.PublishReceived) (bool, error) {
	if c.onMessage != nil {
		c.onMessage(p.Packet)
		return true, nil
	}
	c.messages <- p.Packet
	return true, nil
}

func (c *client5) subscribe(qos byte, filters ...string) {
	c.t.Helper()
	s := &paho.Subscribe{}
	for _, f := range filters {
		s.Subscriptions = append(s.Subscriptions, paho.SubscribeOptions{Topic: f, QoS: qos})
	}
	c.subscribeWith(s)
}

func (c *client5) subscribeWith(s *paho.Subscribe) {
	c.t.Helper()
	if _, err := c.cm.Subscribe(c.t.Context(), s); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client5) publish(p *paho.Publish) {
	c.t.Helper()
	if _, err := c.cm.Publish(c.t.Context(), p); err != nil {
		c.t.Errorf("publish to %s: %v", p.Topic, err)
	}
}

// send publishes text.
func (c *client5) send(topic, text string, qos byte) {
	c.t.Helper()
	c.publish(&paho.Publish{Topic: topic, Payload: []byte(text), QoS: qos})
}

// receive returns the next message.
func (c *client5) receive() *paho.Publish {
	c.t.Helper()
	return mustReceive(c.t, "a message", c.messages)
}

// withSession gives a client a session that outlives its connection.
func withSession(id string) func(*autopaho.ClientConfig) {
	return func(c *autopaho.ClientConfig) {
		c.ClientID = id
		c.CleanStartOnInitialConnection = false
		c.SessionExpiryInterval = 600
	}
}

// withTLS sets a client's TLS configuration.
func withTLS(conf *tls.Config) func(*autopaho.ClientConfig) {
	return func(c *autopaho.ClientConfig) { c.TlsCfg = conf }
}
