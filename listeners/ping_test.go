package listeners_test

import (
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/listeners"
)

// TestPingOption checks the ping interval that the broker gets with a connection.
func TestPingOption(t *testing.T) {
	for option, want := range map[time.Duration]time.Duration{0: 25 * time.Second, time.Minute: time.Minute, -1: 0} {
		to := newTestAttacher()
		c, _, refused := open(t, listenWS(t, listeners.WebSocketOptions{Attacher: to, Ping: option}), "/mqtt", nil, "mqtt")
		if c == nil {
			t.Fatal(refused)
		}
		if got := to.next(t).Ping; got != want {
			t.Errorf("with %v, clients are pinged after %v, want %v", option, got, want)
		}
	}
}
