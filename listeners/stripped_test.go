package listeners_test

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/listeners"
)

const fullUpgrade = "GET /mqtt HTTP/1.1\r\nHost: a.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"

// TestUpgradeThatAProxyStripped removes parts of a request as proxies do, and checks that it is refused and that
// answer and log name them.
func TestUpgradeThatAProxyStripped(t *testing.T) {
	for name, test := range map[string]struct {
		from, to string   // replacement in a complete request
		missing  []string // named in the answer
		present  []string // not named in the answer
	}{
		"nothing":                 {"", "", nil, nil},
		"Upgrade":                 {"Upgrade: websocket\r\n", "", []string{"Upgrade: websocket"}, []string{"Connection: Upgrade", "it came with HTTP"}},
		"Connection":              {"Connection: Upgrade\r\n", "", []string{"Connection: Upgrade"}, []string{"Upgrade: websocket", "it came with HTTP"}},
		"another Connection":      {"Connection: Upgrade", "Connection: close", []string{"Connection: Upgrade"}, []string{"Upgrade: websocket"}},
		"both":                    {"Upgrade: websocket\r\nConnection: Upgrade\r\n", "", []string{"Upgrade: websocket", "Connection: Upgrade"}, []string{"it came with HTTP"}},
		"HTTP/1.0":                {"HTTP/1.1", "HTTP/1.0", []string{"HTTP/1.1 (it has HTTP/1.0)"}, []string{"Upgrade: websocket", "Connection: Upgrade"}},
		"HTTP/1.0, and kept":      {"HTTP/1.1", "HTTP/1.0\r\nConnection: keep-alive", []string{"HTTP/1.1 (it has HTTP/1.0)"}, nil},
		"a list with the element": {"Connection: Upgrade", "Connection: keep-alive, upgrade", nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var log logs
			to := newTestAttacher()
			l := listenWS(t, listeners.WebSocketOptions{Attacher: to, Logger: log.logger()})
			c := dial(t, l)
			if _, err := io.WriteString(c, strings.Replace(fullUpgrade, test.from, test.to, 1)); err != nil {
				t.Fatal(err)
			}
			answer, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			if test.missing == nil {
				if answer.StatusCode != http.StatusSwitchingProtocols {
					t.Fatalf("status %d", answer.StatusCode)
				}
				to.next(t).Conn.Close()
				return
			}
			body, _ := io.ReadAll(answer.Body)
			if answer.StatusCode != http.StatusUpgradeRequired {
				t.Errorf("status %d, want 426", answer.StatusCode)
			}
			for _, text := range []string{string(body), log.String()} {
				named, _, _ := strings.Cut(text, "a proxy on the way")
				for _, part := range test.missing {
					if !strings.Contains(named, part) {
						t.Errorf("%q does not name %q", text, part)
					}
				}
				for _, part := range test.present {
					if strings.Contains(named, part) {
						t.Errorf("%q names %q", text, part)
					}
				}
			}
			if !strings.Contains(log.String(), "level=WARN") {
				t.Errorf("log is %q", log.String())
			}
			to.wantNone(t)
		})
	}
}

// TestPlainRequestForTheSocket checks that a browser's plain request gets an explanation, and no line in the log.
func TestPlainRequestForTheSocket(t *testing.T) {
	var log logs
	l := listenWS(t, listeners.WebSocketOptions{Attacher: newTestAttacher(), Logger: log.logger()})
	answer, text := ask(t, l, "/mqtt", nil)
	if answer.StatusCode != http.StatusUpgradeRequired || !strings.Contains(text, "connect with an MQTT client") {
		t.Errorf("answer is %d %q", answer.StatusCode, text)
	}
	if strings.Contains(log.String(), "level=WARN") {
		t.Errorf("log is %q", log.String())
	}
}
