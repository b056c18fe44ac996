package devices

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

func dialWebSocket(ctx context.Context, u *url.URL, conf *tls.Config) (net.Conn, error) {
	d := websocket.Dialer{TLSClientConfig: conf, Subprotocols: []string{"mqtt"}}
	bare := *u
	bare.User = nil
	ws, resp, err := d.DialContext(ctx, bare.String(), nil)
	if err != nil && resp != nil {
		return nil, fmt.Errorf("the WebSocket upgrade at %s was answered with %s: is the path right?", bare.String(), status(resp))
	}
	if err != nil {
		return nil, err
	}
	return &webSocketConn{Conn: ws}, nil
}

func status(r *http.Response) string {
	_ = r.Body.Close()
	return r.Status
}

// webSocketConn is a net.Conn over the bytes of a WebSocket's messages.
type webSocketConn struct {
	*websocket.Conn
	message io.Reader  // current message; nil between messages
	write   sync.Mutex // one writer at a time, as the library requires
}

// Read reads from the current message, or from the next.
func (c *webSocketConn) Read(p []byte) (int, error) {
	for {
		if c.message == nil {
			_, r, err := c.NextReader()
			if err != nil {
				return 0, err
			}
			c.message = r
		}
		n, err := c.message.Read(p)
		if err != nil {
			c.message = nil
		}
		if n > 0 {
			return n, nil
		}
	}
}

// Write sends p as one binary message.
func (c *webSocketConn) Write(p []byte) (int, error) {
	c.write.Lock()
	defer c.write.Unlock()
	if err := c.WriteMessage(websocket.BinaryMessage, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// SetDeadline sets both deadlines.
func (c *webSocketConn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}
