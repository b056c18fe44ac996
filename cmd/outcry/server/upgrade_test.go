package server

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/outcry-mqtt/outcry/cmd/outcry/outcrytest"
)

// connectAlone is a CONNECT of MQTT 3.1.1 without user name and password, by the client x.
var connectAlone = []byte("\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01x")

// upgradeWith connects over WebSocket with headers of the upgrade, and returns CONNACK's code.
func upgradeWith(p *outcrytest.Process, header http.Header) byte {
	p.T.Helper()
	d := websocket.Dialer{Subprotocols: []string{"mqtt"}, HandshakeTimeout: 30 * time.Second}
	c, response, err := d.Dial("ws://"+p.Addresses["ws"]+"/mqtt", header)
	if err != nil {
		p.T.Fatal(err, response)
	}
	defer c.Close()
	if err := c.WriteMessage(websocket.BinaryMessage, connectAlone); err != nil {
		p.T.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
	_, answer, err := c.ReadMessage()
	if err != nil || len(answer) < 4 || answer[0] != 0x20 {
		p.T.Fatalf("got % x, %v", answer, err)
	}
	return answer[3]
}

func TestTokenInTheUpgrade(t *testing.T) {
	dir := t.TempDir()
	outcrytest.WriteConfig(t, dir, "auth: {jwt: {from: [password, bearer, cookie], cookie: session}}\n")
	p := outcrytest.StartServe(t, dir)
	token := p.Token("--user", "alice")
	forged := token[:len(token)-8] + strings.Repeat("A", 8)
	const accepted, badPassword, notAuthorized = 0, 4, 5
	for name, tt := range map[string]struct {
		header http.Header
		want   byte
	}{
		"bearer":              {http.Header{"Authorization": {"Bearer " + token}}, accepted},
		"cookie":              {http.Header{"Cookie": {"a=b; session=" + token}}, accepted},
		"forged bearer":       {http.Header{"Authorization": {"Bearer " + forged}}, badPassword},
		"forged cookie":       {http.Header{"Cookie": {"session=" + forged}}, badPassword},
		"two cookies":         {http.Header{"Cookie": {"session=" + token + "; session=" + forged}}, badPassword},
		"another cookie":      {http.Header{"Cookie": {"outcry_token=" + token}}, notAuthorized},
		"no token":            {nil, notAuthorized},
		"a header of its own": {http.Header{"X-Token": {token}}, notAuthorized},
	} {
		if got := upgradeWith(p, tt.header); got != tt.want {
			t.Errorf("%s: %d, want %d", name, got, tt.want)
		}
	}
	if log := p.Stderr.String(); strings.Contains(log, token[:40]) || strings.Contains(log, forged[len(forged)-40:]) {
		t.Error("the log shows a token")
	}
	p.Stop()
}
