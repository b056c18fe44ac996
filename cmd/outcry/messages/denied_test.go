package messages

import (
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/cmd/outcry/client"
	"github.com/outcry-mqtt/outcry/cmd/outcry/outcrytest"
	"github.com/outcry-mqtt/outcry/devices"
)

// leaving signals when a client is closed.
type leaving struct {
	client.Conn
	closed chan struct{}
}

func (l *leaving) Close() {
	close(l.closed)
	l.Conn.Close()
}

// TestDenialIsToldThoughItIsHandedOnLate has the client pass on the broker's notice only when it is closed.
func TestDenialIsToldThoughItIsHandedOnLate(t *testing.T) {
	dir := t.TempDir()
	outcrytest.WriteConfig(t, dir, "auth: {anonymous: true}\nrules: []\n")
	p := outcrytest.StartServe(t, dir)
	url, err := devices.ParseURL("mqtt://" + p.Addresses["tcp"])
	if err != nil {
		t.Fatal(err)
	}
	denied, closed := new(denials), make(chan struct{})
	c, err := client.Connect(t.Context(), &client.Options{URL: url, Version: 5, ID: "speaker"}, func(m *broker.Message) {
		<-closed
		denied.note(m)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Publish(t.Context(), &broker.Message{Topic: "news", Payload: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	err = denied.ask(t.Context(), &leaving{c, closed})
	if err == nil || !strings.Contains(err.Error(), `message to "news" refused by the broker: not authorized (0x87)`) {
		t.Errorf("error %v", err)
	}
	p.Stop()
}
