package server

import (
	"testing"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/outcry-mqtt/outcry/cmd/outcry/outcrytest"
)

// TestWillsAtSIGTERM checks retained wills after SIGTERM and a restart.
func TestWillsAtSIGTERM(t *testing.T) {
	dir := t.TempDir()
	p := outcrytest.StartServe(t, dir, "--open")
	for _, clean := range []bool{true, false} {
		topic := map[bool]string{true: "ends/state", false: "stays/state"}[clean]
		c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://"+p.Addresses["tcp"]).SetConnectTimeout(outcrytest.WaitLimit).
			SetAutoReconnect(false).SetClientID(topic).SetCleanSession(clean).SetWill(topic, "gone", 1, true))
		for _, act := range []func() mqtt.Token{c.Connect, func() mqtt.Token { return c.Publish(topic, 1, true, "here") }} {
			if token := act(); !token.WaitTimeout(outcrytest.WaitLimit) || token.Error() != nil {
				t.Fatal(token.Error())
			}
		}
		defer c.Disconnect(0)
	}
	p.Stop()
	p = outcrytest.StartServe(t, dir, "--open")
	for topic, want := range map[string]string{"ends/state": "gone\n", "stays/state": "here\n"} { // may still come back
		if status, stdout, stderr := p.Client("sub", "", "-C", "1", "-t", topic); status != 0 || stdout != want {
			t.Errorf("%s: status %d, %q, want %q\n%s", topic, status, stdout, want, stderr)
		}
	}
	p.Stop()
}
