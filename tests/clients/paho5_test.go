package clients_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"
)

var clients atomic.Int64

// clientID returns a unique client identifier.
func clientID(t *testing.T) string {
	return fmt.Sprintf("%s-%d", strings.ReplaceAll(t.Name(), "/", "-"), clients.Add(1))
}

func TestPaho5QoSBothWays(t *testing.T) {
	s := openBroker(t)
	for qos := range byte(3) {
		t.Run(fmt.Sprintf("QoS %d", qos), func(t *testing.T) {
			a, b := connect5(t, s.url(), nil), connect5(t, s.url(), nil)
			a.subscribe(qos, "to/a")
			b.subscribe(qos, "to/b")
			const n = 200
			for i := range n {
				a.send("to/b", fmt.Sprint(i), qos)
				b.send("to/a", fmt.Sprint(i), qos)
			}
			for i := range n {
				for _, c := range []*client5{a, b} {
					if m := c.receive(); string(m.Payload) != fmt.Sprint(i) || m.QoS != qos {
						t.Fatalf("message %d was %q with QoS %d", i, m.Payload, m.QoS)
					}
				}
			}
			a.send("to/b", "last", qos)
			if m := b.receive(); string(m.Payload) != "last" {
				t.Errorf("%q came again", m.Payload)
			}
		})
	}
}

func TestPaho5PropertiesPassThrough(t *testing.T) {
	s := openBroker(t)
	c := connect5(t, s.url(), nil)
	id, expiry, format := 7, uint32(300), byte(1)
	c.subscribeWith(&paho.Subscribe{
		Properties:    &paho.SubscribeProperties{SubscriptionIdentifier: &id},
		Subscriptions: []paho.SubscribeOptions{{Topic: "p/+", QoS: 1}},
	})
	props := &paho.PublishProperties{
		ContentType: "text/plain", ResponseTopic: "answers", CorrelationData: []byte{0, 1}, PayloadFormat: &format, MessageExpiry: &expiry,
	}
	props.User.Add("k", "1")
	props.User.Add("a", "2")
	props.User.Add("k", "3")
	c.publish(&paho.Publish{Topic: "p/x", QoS: 1, Payload: []byte("é"), Properties: props})
	got := c.receive().Properties
	if got.ContentType != "text/plain" || got.ResponseTopic != "answers" || string(got.CorrelationData) != "\x00\x01" {
		t.Errorf("got %+v", got)
	}
	if got.PayloadFormat == nil || *got.PayloadFormat != 1 || got.MessageExpiry == nil || *got.MessageExpiry > 300 || *got.MessageExpiry < 290 {
		t.Errorf("payload format %v, expiry %v", got.PayloadFormat, got.MessageExpiry)
	}
	if got.SubscriptionIdentifier == nil || *got.SubscriptionIdentifier != 7 {
		t.Errorf("subscription identifier %v, want 7", got.SubscriptionIdentifier)
	}
	if users := fmt.Sprint(got.User); users != "[{k 1} {a 2} {k 3}]" {
		t.Errorf("user properties %s: not in their order", users)
	}
}

func TestPaho5SessionIsResumed(t *testing.T) {
	s := openBroker(t)
	id := clientID(t)
	c := connect5(t, s.url(), withSession(id))
	c.subscribe(2, "kept/#")
	c.stop()
	sender := connect5(t, s.url(), nil)
	for i := range 30 {
		sender.send("kept/x", fmt.Sprint(i), 1+byte(i%2))
	}
	c = begin5(t, s.url(), withSession(id))
	if ack := mustReceive(t, "the connection", c.up); !ack.SessionPresent {
		t.Error("the session is not there any more")
	}
	for i := range 30 {
		if m := c.receive(); string(m.Payload) != fmt.Sprint(i) || m.QoS != 1+byte(i%2) {
			t.Fatalf("message %d was %q with QoS %d", i, m.Payload, m.QoS)
		}
	}
}

func TestPaho5WillAndItsDelay(t *testing.T) {
	s := openBroker(t)
	watch := connect5(t, s.url(), nil)
	watch.subscribe(1, "wills/#")
	delay := uint32(1)
	dying := connect5(t, s.url(), func(c *autopaho.ClientConfig) {
		c.WillMessage = &paho.WillMessage{Topic: "wills/5", Payload: []byte("gone"), QoS: 1}
		c.WillProperties = &paho.WillProperties{WillDelayInterval: &delay}
		c.SessionExpiryInterval = 60
		c.OnConnectionDown = func() bool { return false }
	})
	lost := time.Now()
	dying.cm.TerminateConnectionForTest()
	if m := watch.receive(); string(m.Payload) != "gone" || m.QoS != 1 {
		t.Errorf("the will was %q with QoS %d", m.Payload, m.QoS)
	}
	if after := time.Since(lost); after < 900*time.Millisecond {
		t.Errorf("the will came after %v, want a second", after)
	}
}

func TestPaho5ReconnectsAfterARestart(t *testing.T) {
	s := openBroker(t)
	c := connect5(t, s.url(), nil)
	c.publish(&paho.Publish{Topic: "last/value", QoS: 1, Retain: true, Payload: []byte("42")})
	s.stop()
	s.restart()
	mustReceive(t, "the connection comes back", c.up)
	c.subscribe(1, "last/#")
	if m := c.receive(); string(m.Payload) != "42" || !m.Retain {
		t.Errorf("got %q, retained %v", m.Payload, m.Retain)
	}
}

func TestPaho5SharedSubscription(t *testing.T) {
	s := openBroker(t)
	shared := make(chan string, 1000)
	for range 3 {
		c := connect5(t, s.url(), nil)
		c.onMessage = func(m *paho.Publish) { shared <- string(m.Payload) }
		c.subscribe(1, "$share/g/jobs")
	}
	every := connect5(t, s.url(), nil)
	every.subscribe(1, "jobs")
	sender := connect5(t, s.url(), nil)
	const n = 120
	for i := range n {
		sender.send("jobs", fmt.Sprint(i), 1)
	}
	seen := map[string]bool{}
	for range n {
		job := mustReceive(t, "a job", shared)
		if seen[job] {
			t.Errorf("job %s came twice", job)
		}
		seen[job] = true
		every.receive()
	}
}

func TestPaho5NoLocalAndRetainHandling(t *testing.T) {
	s := openBroker(t)
	c, other := connect5(t, s.url(), nil), connect5(t, s.url(), nil)
	other.publish(&paho.Publish{Topic: "room/say", QoS: 1, Retain: true, Payload: []byte("old")})
	c.subscribeWith(&paho.Subscribe{Subscriptions: []paho.SubscribeOptions{
		{Topic: "room/say", QoS: 1, NoLocal: true, RetainHandling: 2, RetainAsPublished: true},
	}})
	c.send("room/say", "mine", 1)
	other.publish(&paho.Publish{Topic: "room/say", QoS: 1, Retain: true, Payload: []byte("theirs")})
	if m := c.receive(); string(m.Payload) != "theirs" || !m.Retain {
		t.Errorf("got %q, retained %v; want only what others say, with its retain flag", m.Payload, m.Retain)
	}
}

func TestPaho5TakeOver(t *testing.T) {
	s := openBroker(t)
	id := clientID(t)
	same := func(c *autopaho.ClientConfig) {
		c.ClientID = id
		c.OnConnectionDown = func() bool { return false }
	}
	first := connect5(t, s.url(), same)
	connect5(t, s.url(), same)
	if d := mustReceive(t, "the first is told", first.disconnects); d.ReasonCode != 0x8E {
		t.Errorf("reason code 0x%02X, want 0x8E, session taken over", d.ReasonCode)
	}
}
