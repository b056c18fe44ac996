package listeners_test

import (
	"io"
	"net"
	"testing"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/listeners"
)

// closer is an Attacher that has no use for connections.
type closer struct{}

func (closer) Enter(string) (*broker.Pass, error) { return nil, nil }
func (closer) Attach(l broker.Link) error         { return l.Conn.Close() }

// BenchmarkUpgrade is what a WebSocket costs until it is attached, the client's socket and its part of the work included.
func BenchmarkUpgrade(b *testing.B) {
	l, err := listeners.ListenWebSocket(listeners.WebSocketOptions{Address: "127.0.0.1:0", Attacher: closer{}})
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- l.Serve() }()
	defer func() {
		l.Close()
		<-done
	}()
	for name, request := range map[string]string{
		"at once":     upgradeRequest,
		"by net/http": with("X-Long: a\r\n b\r\n"),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			answer := make([]byte, 1024)
			for b.Loop() {
				if err := exchange(l.Addr(), request, answer); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// exchange sends a request and reads all that is answered.
func exchange(to net.Addr, request string, answer []byte) error {
	c, err := net.Dial(to.Network(), to.String())
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := io.WriteString(c, request); err != nil {
		return err
	}
	_, err = io.ReadFull(c, answer)
	if err == io.ErrUnexpectedEOF {
		return nil
	}
	return err
}
