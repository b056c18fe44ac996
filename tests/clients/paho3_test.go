package clients_test

import (
	"fmt"
	"testing"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

func TestPaho3QoSBothWays(t *testing.T) {
	s := openBroker(t)
	for qos := range byte(3) {
		t.Run(fmt.Sprintf("QoS %d", qos), func(t *testing.T) {
			a, b := connect3(t, s.url(), nil), connect3(t, s.url(), nil)
			a.subscribe("to/a", qos)
			b.subscribe("to/b", qos)
			const n = 200
			for i := range n {
				a.mqtt.Publish("to/b", qos, false, fmt.Sprint(i)) // many in flight
				b.mqtt.Publish("to/a", qos, false, fmt.Sprint(i))
			}
			for i := range n {
				for _, c := range []*client3{a, b} {
					if m := c.receive(); string(m.Payload()) != fmt.Sprint(i) || m.Qos() != qos {
						t.Fatalf("message %d was %q with QoS %d", i, m.Payload(), m.Qos())
					}
				}
			}
			a.send("to/b", "last", qos, false)
			if m := b.receive(); string(m.Payload()) != "last" {
				t.Errorf("%q came again", m.Payload())
			}
		})
	}
}

func TestPaho3SessionIsResumed(t *testing.T) {
	s := openBroker(t)
	id := clientID(t)
	kept := func(o *mqtt.ClientOptions) { o.SetClientID(id).SetCleanSession(false) }
	c := connect3(t, s.url(), kept)
	c.subscribe("kept/#", 2)
	c.mqtt.Disconnect(100)
	sender := connect3(t, s.url(), nil)
	for i := range 30 {
		sender.send("kept/x", fmt.Sprint(i), 1+byte(i%2), false)
	}
	c = connect3(t, s.url(), kept)
	for i := range 30 {
		if m := c.receive(); string(m.Payload()) != fmt.Sprint(i) {
			t.Fatalf("message %d was %q", i, m.Payload())
		}
	}
}

func TestPaho3ReconnectsAfterARestart(t *testing.T) {
	s := openBroker(t)
	c := connect3(t, s.url(), nil)
	c.send("last/value", "42", 1, true)
	s.stop()
	s.restart()
	mustReceive(t, "the connection comes back", c.up)
	c.subscribe("last/#", 1)
	if m := c.receive(); string(m.Payload()) != "42" || !m.Retained() {
		t.Errorf("got %q, retained %v", m.Payload(), m.Retained())
	}
}

func TestPaho3TalksWithPaho5(t *testing.T) {
	s := openBroker(t)
	three, five := connect3(t, s.url(), nil), connect5(t, s.url(), nil)
	three.subscribe("to/three", 2)
	five.subscribe(2, "to/five")
	three.send("to/five", "hello", 2, false)
	five.send("to/three", "hi", 2)
	if m := five.receive(); string(m.Payload) != "hello" || m.QoS != 2 {
		t.Errorf("5 got %q with QoS %d", m.Payload, m.QoS)
	}
	if m := three.receive(); string(m.Payload()) != "hi" || m.Qos() != 2 {
		t.Errorf("3.1.1 got %q with QoS %d", m.Payload(), m.Qos())
	}
}
