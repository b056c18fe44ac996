package devices

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"strings"
)

// schemes maps URL schemes to default ports; a unix socket has none.
var schemes = map[string]string{
	"mqtt": "1883", "tcp": "1883",
	"mqtts": "8883", "ssl": "8883", "tls": "8883",
	"ws": "80", "wss": "443",
	"unix": "",
}

// ParseURL parses a broker's URL. It adds the default port, and the path /mqtt for a WebSocket. The default scheme is
// mqtt://.
func ParseURL(raw string) (*url.URL, error) {
	if !strings.Contains(raw, "://") {
		raw = "mqtt://" + raw
	}
	u, err := url.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("broker URL %q cannot be read: want e.g. mqtt://127.0.0.1:1883", raw)
	}
	port, known := schemes[u.Scheme]
	switch {
	case !known:
		return nil, fmt.Errorf("broker URL %q: unknown scheme %q; use mqtt, mqtts, ws, wss or unix", u.Redacted(), u.Scheme)
	case u.Scheme == "unix":
		if u.Host+u.Path == "" {
			return nil, fmt.Errorf("broker URL %q: no path; want e.g. unix:///run/outcry.sock", raw)
		}
		return u, nil
	case u.Hostname() == "":
		return nil, fmt.Errorf("broker URL %q: no host; want e.g. %s://127.0.0.1:%s", u.Redacted(), u.Scheme, port)
	case u.Port() == "":
		u.Host = net.JoinHostPort(u.Hostname(), port)
	}
	if isWebSocket(u) && (u.Path == "" || u.Path == "/") {
		u.Path = "/mqtt"
	}
	return u, nil
}

func isWebSocket(u *url.URL) bool { return u.Scheme == "ws" || u.Scheme == "wss" }

// Dial connects to a broker's URL, as returned by ParseURL, for MQTT bytes. conf may be nil.
func Dial(ctx context.Context, u *url.URL, conf *tls.Config) (net.Conn, error) {
	switch u.Scheme {
	case "unix":
		return new(net.Dialer).DialContext(ctx, "unix", u.Host+u.Path)
	case "ws", "wss":
		return dialWebSocket(ctx, u, conf)
	case "mqtts", "ssl", "tls":
		return (&tls.Dialer{Config: conf}).DialContext(ctx, "tcp", u.Host)
	default:
		return new(net.Dialer).DialContext(ctx, "tcp", u.Host)
	}
}
