package server

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/cmd/outcry/outcrytest"
)

// upgradeAt requests a WebSocket like a page of origin that reached the broker by the name host, and returns the
// status.
func upgradeAt(t *testing.T, address, host, origin string) int {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET /mqtt HTTP/1.1\r\nHost: %s\r\nOrigin: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n", host, origin)
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode
}

// TestReboundNamesReachNoAnonymousBroker checks that DNS rebinding does not give a page access to a broker with
// anonymous clients.
func TestReboundNamesReachNoAnonymousBroker(t *testing.T) {
	for name, test := range map[string]struct {
		config string
		args   []string
		evil   int // status for a stranger's name, with its origin
	}{
		"anonymous":        {"auth: {anonymous: true}\n", nil, http.StatusMisdirectedRequest},
		"open":             {"", []string{"--open"}, http.StatusMisdirectedRequest},
		"open to the net":  {"", []string{"--open", "--open"}, http.StatusMisdirectedRequest},
		"with credentials": {"", nil, http.StatusSwitchingProtocols},
		"listed":           {"auth: {anonymous: true}\nlisteners: {ws: {hosts: [evil.example, loopback]}}\n", nil, http.StatusSwitchingProtocols},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(dir+"/config.yaml", []byte(test.config), 0o600); err != nil {
				t.Fatal(err)
			}
			address := outcrytest.StartServe(t, dir, test.args...).Addresses["ws"]
			_, port, _ := net.SplitHostPort(address)
			for host, want := range map[string]int{
				"evil.example:" + port: test.evil, "127.0.0.1:" + port: http.StatusSwitchingProtocols, "localhost:" + port: http.StatusSwitchingProtocols,
			} {
				if status := upgradeAt(t, address, host, "http://"+host); status != want {
					t.Errorf("for %s: status %d, want %d", host, status, want)
				}
			}
		})
	}
}

func TestCheckWarnsOfReboundNames(t *testing.T) {
	const anonymous = "auth: {anonymous: true}\n"
	outcrytest.InFolder(t, map[string]string{"open.yaml": anonymous, "listed.yaml": anonymous + "listeners: {ws: {hosts: [loopback]}}\n"})
	status, stdout, _ := outcrytest.Call(t, "", "check", "open.yaml")
	if status != 0 || !strings.Contains(stdout, "warning: ") || !strings.Contains(stdout, "listeners.ws.hosts: with auth.anonymous") {
		t.Errorf("status %d, output\n%s", status, stdout)
	}
	if status, stdout, _ = outcrytest.Call(t, "", "check", "listed.yaml"); status != 0 || strings.Contains(stdout, "warning") {
		t.Errorf("status %d, output\n%s", status, stdout)
	}
}
