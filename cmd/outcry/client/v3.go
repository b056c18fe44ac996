package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"
	"github.com/outcry-mqtt/outcry/broker"
)

// v3 is a connection with MQTT 3.1 or 3.1.1.
type v3 struct {
	mqtt mqtt.Client
	ends chan error // buffered: holds the first reason
}

// refusals names the return codes of a CONNACK [MQTT-3.2.2-4].
var refusals = map[error]string{
	packets.ErrorRefusedBadProtocolVersion:    "unacceptable protocol version (return code 1)",
	packets.ErrorRefusedIDRejected:            "client identifier rejected (return code 2)",
	packets.ErrorRefusedServerUnavailable:     "server unavailable (return code 3)",
	packets.ErrorRefusedBadUsernameOrPassword: "bad user name or password (return code 4)",
	packets.ErrorRefusedNotAuthorised:         "not authorized (return code 5)",
}

func connectV3(o *Options, conn net.Conn, onMessage func(*broker.Message)) (Conn, error) {
	c := &v3{ends: make(chan error, 1)}
	opts := mqtt.NewClientOptions().
		AddBroker("tcp://connected").
		SetCustomOpenConnectionFn(func(*url.URL, mqtt.ClientOptions) (net.Conn, error) { return conn, nil }).
		SetProtocolVersion(uint(o.Version)).
		SetClientID(o.ID).SetUsername(o.User).SetPassword(string(o.Password)).
		SetCleanSession(!o.KeepSession).
		SetKeepAlive(o.KeepAlive).
		SetConnectTimeout(connectTimeout).
		SetAutoReconnect(false).
		SetConnectionLostHandler(func(_ mqtt.Client, err error) { c.ends <- fmt.Errorf("connection lost: %w", err) })
	if o.will != nil {
		opts.SetBinaryWill(o.will.Topic, o.will.Payload, o.will.QoS, o.will.Retain)
	}
	if onMessage != nil {
		opts.SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) {
			onMessage(&broker.Message{Topic: m.Topic(), Payload: m.Payload(), QoS: m.Qos(), Retain: m.Retained()})
		})
	}
	c.mqtt = mqtt.NewClient(opts)
	t := c.mqtt.Connect()
	t.Wait()
	return c, explainV3(o, t.Error())
}

func explainV3(o *Options, err error) error {
	if err == nil {
		return nil
	}
	for refused, what := range refusals {
		if errors.Is(err, refused) {
			return finalIf(refused != packets.ErrorRefusedServerUnavailable, refusal(o, what, ""))
		}
	}
	return explainAnswer(o, err)
}

// Lost implements Conn.
func (c *v3) Lost() <-chan error { return c.ends }

// Publish implements Conn.
func (c *v3) Publish(ctx context.Context, m *broker.Message) error {
	err := wait(ctx, c.mqtt.Publish(m.Topic, m.QoS, m.Retain, m.Payload))
	if errors.Is(err, mqtt.ErrNotConnected) {
		return fmt.Errorf("connection lost: %w", err) // the client may not know the reason yet
	}
	if err != nil {
		return fmt.Errorf("publish to %q: %w", m.Topic, err)
	}
	return nil
}

// Subscribe implements Conn.
func (c *v3) Subscribe(ctx context.Context, filters []string, how Subscribing) ([]error, error) {
	all := map[string]byte{}
	for _, f := range filters {
		all[f] = how.QoS
	}
	t := c.mqtt.SubscribeMultiple(all, nil).(*mqtt.SubscribeToken)
	err := wait(ctx, t)
	granted := t.Result()
	if len(granted) == 0 && err != nil {
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	refused := make([]error, len(filters))
	for i, f := range filters {
		if granted[f] == 0x80 {
			refused[i] = fmt.Errorf("subscription to %q refused by the broker (0x80)", f)
		}
	}
	return refused, nil
}

// Unsubscribe implements Conn.
func (c *v3) Unsubscribe(ctx context.Context, filter string) error {
	if err := wait(ctx, c.mqtt.Unsubscribe(filter)); err != nil {
		return fmt.Errorf("unsubscribe: %w", err)
	}
	return nil
}

// wait waits for a token's answer.
func wait(ctx context.Context, t mqtt.Token) error {
	timeout := time.NewTimer(answerTimeout)
	defer timeout.Stop()
	select {
	case <-t.Done():
		return t.Error()
	case <-ctx.Done():
		return ctx.Err()
	case <-timeout.C:
		return fmt.Errorf("no acknowledgement within %v", answerTimeout)
	}
}

// Close implements Conn.
func (c *v3) Close() { c.mqtt.Disconnect(250) }
