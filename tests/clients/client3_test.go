package clients_test

import (
	"crypto/tls"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// client3 is a client of Eclipse Paho for MQTT 3.1.1.
type client3 struct {
	t        *testing.T
	mqtt     mqtt.Client
	messages chan mqtt.Message
	up       chan struct{}
}

// connect3 connects a client. set, if not nil, may change its options.
func connect3(t *testing.T, broker string, set func(*mqtt.ClientOptions)) *client3 {
	t.Helper()
	c := &client3{t: t, messages: make(chan mqtt.Message, 100_000), up: make(chan struct{}, 100)}
	opts := mqtt.NewClientOptions().AddBroker(broker).SetClientID(clientID(t)).
		SetProtocolVersion(4).
		SetMaxReconnectInterval(100 * time.Millisecond).
		SetOnConnectHandler(func(mqtt.Client) { c.up <- struct{}{} }).
		SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { c.messages <- m })
	if set != nil {
		set(opts)
	}
	c.mqtt = mqtt.NewClient(opts)
	c.wait("connect", c.mqtt.Connect())
	mustReceive(t, "the connection", c.up)
	t.Cleanup(func() { c.mqtt.Disconnect(100) })
	return c
}

func (c *client3) wait(what string, tok mqtt.Token) {
	c.t.Helper()
	if !tok.WaitTimeout(waitLimit) {
		c.t.Fatalf("%s: no answer", what)
	}
	if err := tok.Error(); err != nil {
		c.t.Fatalf("%s: %v", what, err)
	}
}

func (c *client3) subscribe(filter string, qos byte) {
	c.t.Helper()
	c.wait("subscribe", c.mqtt.Subscribe(filter, qos, nil))
}

func (c *client3) send(topic, text string, qos byte, retain bool) {
	c.t.Helper()
	c.wait("publish", c.mqtt.Publish(topic, qos, retain, text))
}

func (c *client3) receive() mqtt.Message {
	c.t.Helper()
	return mustReceive(c.t, "a message", c.messages)
}

func withTLS3(conf *tls.Config) func(*mqtt.ClientOptions) {
	return func(o *mqtt.ClientOptions) { o.SetTLSConfig(conf) }
}
