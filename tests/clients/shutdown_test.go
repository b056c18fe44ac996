package clients_test

import (
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"
	"github.com/gorilla/websocket"
)

func TestSIGTERM(t *testing.T) {
	s := openBroker(t)
	five := connect5(t, s.url(), func(c *autopaho.ClientConfig) { c.OnConnectionDown = func() bool { return false } })
	ws := dialWS(t, s)
	if err := ws.WriteMessage(websocket.BinaryMessage, connectBytes("web")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ws.ReadMessage(); err != nil {
		t.Fatal(err)
	}
	silent := dialWS(t, s) // has not sent its CONNECT
	s.signal(syscall.SIGTERM)
	if d := mustReceive(t, "a DISCONNECT", five.disconnects); d.ReasonCode != 0x8B {
		t.Errorf("reason code 0x%02X, want 0x8B, server shutting down", d.ReasonCode)
	}
	if c := readCloseError(t, ws); c.Code != websocket.CloseGoingAway {
		t.Errorf("close code %d, want 1001", c.Code)
	}
	if status := s.wait(); status != 0 {
		t.Errorf("exit status %d: %s", status, s.errors())
	}
	_ = silent.SetReadDeadline(time.Now().Add(waitLimit))
	if _, _, err := silent.ReadMessage(); err == nil {
		t.Error("a connection outlived the broker")
	}
}

func TestASecondSignalEndsItAtOnce(t *testing.T) {
	s := openBroker(t)
	connect5(t, s.url(), nil)
	s.signal(syscall.SIGTERM)
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // it may have ended by now
	// 0 or -1: the second came after the shutdown, or nearly
	if status := s.wait(); !slices.Contains([]int{128 + 15, 0, -1}, status) {
		t.Errorf("exit status %d: %s", status, s.errors())
	}
}

// TestSIGKILL checks that acknowledged messages survive SIGKILL.
func TestSIGKILL(t *testing.T) {
	s := openBroker(t)
	c := connect5(t, s.url(), nil)
	const n = 300
	for i := range n {
		c.publish(&paho.Publish{Topic: fmt.Sprintf("kept/%d", i), QoS: 1, Retain: true, Payload: []byte(fmt.Sprint(i))})
	}
	for i := range 10 { // deleted below
		c.publish(&paho.Publish{Topic: fmt.Sprintf("kept/%d", i), QoS: 2, Retain: true})
	}
	s.kill()
	s.restart()
	mustReceive(t, "the connection comes back", c.up)
	c.subscribe(1, "kept/#")
	for range n - 10 {
		m := c.receive()
		if m.Topic != "kept/"+string(m.Payload) || !m.Retain {
			t.Errorf("%s is %q, retained %v", m.Topic, m.Payload, m.Retain)
		}
	}
	c.send("kept/last", "x", 1)
	if m := c.receive(); m.Topic != "kept/last" {
		t.Errorf("%s came although it had been deleted", m.Topic)
	}
}

func TestTickerValuesOutliveAKill(t *testing.T) {
	s := openBroker(t)
	c := connect5(t, s.url(), nil)
	for i := range 100 {
		c.publish(&paho.Publish{Topic: fmt.Sprintf("ticker/S%d", i), Retain: true, Payload: []byte("1.5")})
	}
	eventually(t, "they are on disk", func() bool {
		return s.metric("outcry_store_ops_total") >= 100 && s.metric("outcry_store_pending_ops") == 0
	})
	s.kill()
	s.restart()
	mustReceive(t, "the connection comes back", c.up)
	c.subscribe(0, "ticker/+")
	for range 100 {
		if m := c.receive(); string(m.Payload) != "1.5" || !m.Retain {
			t.Errorf("%s is %q, retained %v", m.Topic, m.Payload, m.Retain)
		}
	}
}
