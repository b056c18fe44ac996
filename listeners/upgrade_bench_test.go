package listeners_test

import (
	"io"
	"net"
	"testing"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/listeners"
)

// closingAttacher is an Attacher that closes every connection.
type closingAttacher struct{}

func (closingAttacher) Admit(string) (*broker.Ticket, error) { return nil, nil }
func (closingAttacher) Attach(l broker.Conn) error           { return l.Conn.Close() }

// BenchmarkUpgrade measures a WebSocket up to its attachment, including the client's socket and work.
func BenchmarkUpgrade(b *testing.B) {
	l, err := listeners.ListenWebSocket(listeners.WebSocketOptions{Address: "127.0.0.1:0", Attacher: closingAttacher{}})
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
		"by net/http": requestWith("X-Long: a\r\n b\r\n"),
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

// exchange sends a request and reads the whole answer.
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
