package listeners_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/listeners"
)

func TestTCPSocketOptions(t *testing.T) {
	for name, test := range map[string]struct {
		keepAlive      time.Duration
		wantOn, wantIn int
	}{
		"default": {0, 1, 60},
		"chosen":  {90 * time.Second, 1, 90},
		"off":     {-1, 0, -1},
	} {
		t.Run(name, func(t *testing.T) {
			to := newTestAttacher()
			l := listenTCP(t, listeners.TCPOptions{Attacher: to, KeepAlive: test.keepAlive})
			dial(t, l)
			fd := to.nextRaw(t).FD
			defer syscall.Close(fd)
			want := func(level, option, value int) {
				t.Helper()
				got, err := syscall.GetsockoptInt(fd, level, option)
				if err != nil || got != value {
					t.Errorf("option is %d, %v; want %d", got, err, value)
				}
			}
			want(syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
			want(syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, test.wantOn)
			if test.wantIn > 0 {
				want(syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, test.wantIn)
			}
		})
	}
}
