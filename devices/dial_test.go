package devices_test

import (
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/eclipse/paho.golang/packets"
	"github.com/outcry-mqtt/outcry/devices"
)

func TestParseURL(t *testing.T) {
	tests := []struct{ name, raw, want, err string }{
		{"host alone", "broker", "mqtt://broker:1883", ""},
		{"port", "tcp://broker:1", "tcp://broker:1", ""},
		{"IPv6", "mqtt://[::1]", "mqtt://[::1]:1883", ""},
		{"TLS", "mqtts://broker", "mqtts://broker:8883", ""},
		{"WebSocket", "ws://broker", "ws://broker:80/mqtt", ""},
		{"WebSocket with a path", "wss://broker/x", "wss://broker:443/x", ""},
		{"unix", "unix:///run/o.sock", "unix:///run/o.sock", ""},
		{"unix without a path", "unix://", "", "no path"},
		{"no host", "mqtt://", "", "no host"},
		{"unknown", "http://a", "", `unknown scheme "http"`},
		{"unreadable", "mqtt://a:b:c", "", "cannot be read"},
		{"the password is not told", "ftp://me:secret@a", "", "ftp://me:xxxxx@a"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u, err := devices.ParseURL(tt.raw)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error %v, want one with %q", err, tt.err)
				}
				return
			}
			if err != nil || u.String() != tt.want {
				t.Errorf("%v, %v, want %s", u, err, tt.want)
			}
		})
	}
}

// writeCounter counts writes and the packets in them.
type writeCounter struct {
	net.Conn
	writes int
}

func (w *writeCounter) Write(p []byte) (int, error) {
	w.writes++
	return w.Conn.Write(p)
}

func TestCoalesceWritesAPacketAtOnce(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	counter := &writeCounter{Conn: near}
	conn := devices.Coalesce(counter)
	const packetsSent = 20
	var wg sync.WaitGroup
	for range packetsSent {
		wg.Go(func() {
			p := packets.Publish{Topic: "a/b", Payload: []byte("hello"), Properties: &packets.Properties{ContentType: "text"}}
			if _, err := p.WriteTo(conn); err != nil {
				t.Error(err)
			}
		})
	}
	for range packetsSent {
		p, err := packets.ReadPacket(far)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Content.(*packets.Publish); got.Topic != "a/b" || string(got.Payload) != "hello" {
			t.Errorf("read %v", got)
		}
	}
	wg.Wait()
	if counter.writes != packetsSent {
		t.Errorf("%d writes for %d packets", counter.writes, packetsSent)
	}
}
