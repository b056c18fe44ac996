package client

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"strconv"
	"time"

	"github.com/eclipse/paho.golang/paho"
	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/devices"
)

// v5 is a connection with MQTT 5.
type v5 struct {
	paho *paho.Client
	ends chan error // buffered: holds the first reason

	over   context.Context // ends with the connection
	endNow context.CancelFunc
}

func connectV5(ctx context.Context, o *Options, conn net.Conn, onMessage func(*broker.Message)) (Conn, error) {
	c := &v5{ends: make(chan error, 1)}
	c.over, c.endNow = context.WithCancel(context.WithoutCancel(ctx))
	c.paho = paho.NewClient(paho.ClientConfig{
		Conn:               devices.Coalesce(conn),
		PacketTimeout:      answerTimeout,
		OnClientError:      func(err error) { c.end(fmt.Errorf("connection lost: %w", err)) },
		OnServerDisconnect: func(d *paho.Disconnect) { c.end(disconnectError(d)) },
		OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(p paho.PublishReceived) (bool, error) {
			if onMessage != nil {
				onMessage(received(p.Packet))
			}
			return true, nil
		}},
	})
	ack, err := c.paho.Connect(ctx, connectPacket(o))
	switch {
	case ack != nil && ack.ReasonCode >= 0x80:
		reason := ""
		if ack.Properties != nil {
			reason = ack.Properties.ReasonString
		}
		return nil, finalIf(final(ack.ReasonCode), refusal(o, CodeText(ack.ReasonCode, ""), reason))
	case err != nil:
		return nil, explainAnswer(o, err)
	}
	return c, nil
}

func connectPacket(o *Options) *paho.Connect {
	p := &paho.Connect{
		ClientID:     o.ID,
		KeepAlive:    uint16(o.KeepAlive / time.Second),
		CleanStart:   !o.KeepSession,
		UsernameFlag: o.User != "",
		Username:     o.User,
		PasswordFlag: o.Password != nil,
		Password:     o.Password,
		Properties:   &paho.ConnectProperties{RequestProblemInfo: true},
	}
	if o.KeepSession {
		forever := uint32(math.MaxUint32)
		p.Properties.SessionExpiryInterval = &forever
	}
	if o.will != nil {
		p.WillMessage = &paho.WillMessage{Topic: o.will.Topic, Payload: o.will.Payload, QoS: o.will.QoS, Retain: o.will.Retain}
		delay := uint32(o.willDelay / time.Second)
		p.WillProperties = &paho.WillProperties{WillDelayInterval: &delay}
	}
	return p
}

func (c *v5) end(err error) {
	select {
	case c.ends <- err:
	default:
	}
	c.endNow()
}

// whileConnected returns a context that also ends with the connection or after answerTimeout: paho would wait for
// ever.
func (c *v5) whileConnected(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	stop := context.AfterFunc(c.over, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}

// Lost implements Conn.
func (c *v5) Lost() <-chan error { return c.ends }

func disconnectError(d *paho.Disconnect) error {
	reason := ""
	if d.Properties != nil {
		reason = d.Properties.ReasonString
	}
	return finalIf(final(d.ReasonCode), fmt.Errorf("disconnected by the broker: %s", CodeText(d.ReasonCode, reason)))
}

// Publish implements Conn.
func (c *v5) Publish(ctx context.Context, m *broker.Message) error {
	ctx, done := c.whileConnected(ctx)
	defer done()
	resp, err := c.paho.Publish(ctx, toPublish(m))
	if resp != nil && resp.ReasonCode >= 0x80 {
		reason := ""
		if resp.Properties != nil {
			reason = resp.Properties.ReasonString
		}
		return fmt.Errorf("message to %q refused by the broker: %s", m.Topic, CodeText(resp.ReasonCode, reason))
	}
	if err != nil {
		return c.lossReason(fmt.Errorf("publish to %q: %w", m.Topic, err))
	}
	return nil
}

// lossReason returns the reason for the connection's end instead of err, if there is one.
func (c *v5) lossReason(err error) error {
	if c.over.Err() == nil && errors.Is(err, context.Canceled) {
		return err
	}
	select {
	case why := <-c.ends:
		return why
	default:
		return err
	}
}

// Subscribe implements Conn.
func (c *v5) Subscribe(ctx context.Context, filters []string, how Subscribing) ([]error, error) {
	s := &paho.Subscribe{}
	if how.MaxRate > 0 {
		s.Properties = new(paho.SubscribeProperties)
		s.Properties.User.Add("max_rate", strconv.FormatFloat(how.MaxRate, 'f', -1, 64))
	}
	for _, f := range filters {
		s.Subscriptions = append(s.Subscriptions, paho.SubscribeOptions{Topic: f, QoS: how.QoS, NoLocal: how.NoLocal})
	}
	ctx, done := c.whileConnected(ctx)
	defer done()
	ack, err := c.paho.Subscribe(ctx, s)
	if ack == nil {
		return nil, c.lossReason(fmt.Errorf("subscribe: %w", err))
	}
	refused := make([]error, len(filters))
	for i, code := range ack.Reasons[:min(len(ack.Reasons), len(filters))] {
		if code >= 0x80 {
			reason := ""
			if ack.Properties != nil {
				reason = ack.Properties.ReasonString
			}
			refused[i] = fmt.Errorf("subscription to %q refused by the broker: %s", filters[i], CodeText(code, reason))
		}
	}
	return refused, nil
}

// Unsubscribe implements Conn.
func (c *v5) Unsubscribe(ctx context.Context, filter string) error {
	ctx, done := c.whileConnected(ctx)
	defer done()
	ack, err := c.paho.Unsubscribe(ctx, &paho.Unsubscribe{Topics: []string{filter}})
	if ack == nil && err != nil {
		return c.lossReason(fmt.Errorf("unsubscribe: %w", err))
	}
	return nil
}

// Close implements Conn.
func (c *v5) Close() {
	_ = c.paho.Disconnect(&paho.Disconnect{})
	c.endNow()
}

func toPublish(m *broker.Message) *paho.Publish {
	p := &paho.PublishProperties{
		ContentType:     m.ContentType,
		ResponseTopic:   m.ResponseTopic,
		CorrelationData: m.CorrelationData,
	}
	if m.PayloadFormat != 0 {
		p.PayloadFormat = &m.PayloadFormat
	}
	if m.MessageExpiry > 0 {
		seconds := uint32((m.MessageExpiry + time.Second - 1) / time.Second)
		p.MessageExpiry = &seconds
	}
	for _, u := range m.UserProperties {
		p.User.Add(u.Name, u.Value)
	}
	return &paho.Publish{Topic: m.Topic, Payload: m.Payload, QoS: m.QoS, Retain: m.Retain, Properties: p}
}

func received(p *paho.Publish) *broker.Message {
	m := &broker.Message{Topic: p.Topic, Payload: p.Payload, QoS: p.QoS, Retain: p.Retain}
	if p.Properties == nil {
		return m
	}
	m.ContentType = p.Properties.ContentType
	m.ResponseTopic = p.Properties.ResponseTopic
	m.CorrelationData = p.Properties.CorrelationData
	if p.Properties.PayloadFormat != nil {
		m.PayloadFormat = *p.Properties.PayloadFormat
	}
	if p.Properties.MessageExpiry != nil {
		m.MessageExpiry = time.Duration(*p.Properties.MessageExpiry) * time.Second
	}
	for _, u := range p.Properties.User {
		m.UserProperties = append(m.UserProperties, broker.UserProperty{Name: u.Key, Value: u.Value})
	}
	return m
}
