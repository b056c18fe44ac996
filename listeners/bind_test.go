package listeners_test

import (
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/outcry-mqtt/outcry/listeners"
)

func TestBusyPort(t *testing.T) {
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	address := other.Addr().String()
	for key, listen := range map[string]func() error{
		"listeners.tcp.address": func() error {
			_, err := listeners.ListenTCP(listeners.TCPOptions{Address: address, Attacher: newTestAttacher()})
			return err
		},
		"listeners.ws.address": func() error {
			_, err := listeners.ListenWebSocket(listeners.WebSocketOptions{Address: address, Attacher: newTestAttacher()})
			return err
		},
		"http.address": func() error {
			_, err := listeners.ListenOps(listeners.OpsOptions{Address: address})
			return err
		},
	} {
		t.Run(key, func(t *testing.T) {
			err := listen()
			want := "listen " + address + ": address in use; stop the other process (see ss -ltnp) or change " + key
			if err == nil || err.Error() != want {
				t.Fatalf("error is  %v\nwant      %s", err, want)
			}
			var bind *listeners.BindError
			if !errors.As(err, &bind) || bind.Key != key || !errors.Is(err, syscall.EADDRINUSE) {
				t.Errorf("error is %#v", err)
			}
		})
	}
}

func TestBadAddress(t *testing.T) {
	for name, test := range map[string]struct{ address, want string }{
		"no port":          {"127.0.0.1", "listen 127.0.0.1: missing port in address; write host:port, such as 127.0.0.1:1883"},
		"too many colons":  {"::1:1883", "too many colons in address; write host:port"},
		"port too large":   {"127.0.0.1:99999", "invalid port; write host:port"},
		"not this machine": {"192.0.2.1:0", "no interface of this machine has this address; see ip addr and change fleet.address"},
		"unknown port":     {"127.0.0.1:mqqt", "unknown host or port; write a name"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := listeners.ListenTCP(listeners.TCPOptions{
				Address: test.address, Attacher: newTestAttacher(), ConfigKey: "fleet",
			})
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.HasSuffix(err.Error(), "fleet.address") {
				t.Errorf("error is %v\nwant     %s", err, test.want)
			}
		})
	}
}

func TestIsLoopback(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:1883": true,
		"127.8.9.1:1883": true,
		"[::1]:1883":     true,
		"localhost:1883": true,
		":1883":          false,
		"0.0.0.0:1883":   false,
		"[::]:1883":      false,
		"192.0.2.1:1883": false,
		"127.0.0.1":      false,
		"":               false,
	} {
		if got := listeners.IsLoopback(address); got != want {
			t.Errorf("IsLoopback(%q) = %v", address, got)
		}
	}
}
