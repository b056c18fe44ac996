package main

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

// clientV5 speaks MQTT 5.
type clientV5 struct {
	paho *paho.Client
	ends chan error // buffered: the first reason is kept

	over   context.Context // ends with the connection
	endNow context.CancelFunc
}

func connectV5(ctx context.Context, o *clientOptions, conn net.Conn, onMessage func(*broker.Message)) (client, error) {
	c := &clientV5{ends: make(chan error, 1)}
	c.over, c.endNow = context.WithCancel(context.WithoutCancel(ctx))
	c.paho = paho.NewClient(paho.ClientConfig{
		Conn:               devices.Coalesce(conn),
		PacketTimeout:      answerTimeout,
		OnClientError:      func(err error) { c.end(fmt.Errorf("connection lost: %w", err)) },
		OnServerDisconnect: func(d *paho.Disconnect) { c.end(dismissal(d)) },
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
		return nil, finalIf(final(ack.ReasonCode), refusal(o, codeText(ack.ReasonCode, ""), reason))
	case err != nil:
		return nil, explainAnswer(o, err)
	}
	return c, nil
}

func connectPacket(o *clientOptions) *paho.Connect {
	p := &paho.Connect{
		ClientID:     o.id,
		KeepAlive:    uint16(o.keepAlive / time.Second),
		CleanStart:   !o.keepSession,
		UsernameFlag: o.user != "",
		Username:     o.user,
		PasswordFlag: o.password != nil,
		Password:     o.password,
		Properties:   &paho.ConnectProperties{RequestProblemInfo: true},
	}
	if o.keepSession {
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

func (c *clientV5) end(err error) {
	select {
	case c.ends <- err:
	default:
	}
	c.endNow()
}

// whileConnected is ctx until the connection ends or an answer is overdue: paho would wait for ever.
func (c *clientV5) whileConnected(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	stop := context.AfterFunc(c.over, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}

func (c *clientV5) lost() <-chan error { return c.ends }

func dismissal(d *paho.Disconnect) error {
	reason := ""
	if d.Properties != nil {
		reason = d.Properties.ReasonString
	}
	return finalIf(final(d.ReasonCode), fmt.Errorf("disconnected by the broker: %s", codeText(d.ReasonCode, reason)))
}

func (c *clientV5) publish(ctx context.Context, m *broker.Message) error {
	ctx, done := c.whileConnected(ctx)
	defer done()
	resp, err := c.paho.Publish(ctx, toPublish(m))
	if resp != nil && resp.ReasonCode >= 0x80 {
		reason := ""
		if resp.Properties != nil {
			reason = resp.Properties.ReasonString
		}
		return fmt.Errorf("message to %q refused by the broker: %s", m.Topic, codeText(resp.ReasonCode, reason))
	}
	if err != nil {
		return c.because(fmt.Errorf("publish to %q: %w", m.Topic, err))
	}
	return nil
}

// because prefers the reason that the connection ended with, if it has.
func (c *clientV5) because(err error) error {
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

func (c *clientV5) subscribe(ctx context.Context, filters []string, how subscribing) ([]error, error) {
	s := &paho.Subscribe{}
	if how.maxRate > 0 {
		s.Properties = new(paho.SubscribeProperties)
		s.Properties.User.Add("max_rate", strconv.FormatFloat(how.maxRate, 'f', -1, 64))
	}
	for _, f := range filters {
		s.Subscriptions = append(s.Subscriptions, paho.SubscribeOptions{Topic: f, QoS: how.qos, NoLocal: how.noLocal})
	}
	ctx, done := c.whileConnected(ctx)
	defer done()
	ack, err := c.paho.Subscribe(ctx, s)
	if ack == nil {
		return nil, c.because(fmt.Errorf("subscribe: %w", err))
	}
	refused := make([]error, len(filters))
	for i, code := range ack.Reasons[:min(len(ack.Reasons), len(filters))] {
		if code >= 0x80 {
			reason := ""
			if ack.Properties != nil {
				reason = ack.Properties.ReasonString
			}
			refused[i] = fmt.Errorf("subscription to %q refused by the broker: %s", filters[i], codeText(code, reason))
		}
	}
	return refused, nil
}

func (c *clientV5) close() {
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
