package clients_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// mosquittoBridge starts a mosquitto with a bridge to the broker, with default settings and some lines. It returns
// the mosquitto's port.
func mosquittoBridge(t *testing.T, s *server, lines ...string) (port string) {
	t.Helper()
	name := "mosquitto"
	if _, err := exec.LookPath(name); err != nil {
		if name = "/usr/sbin/mosquitto"; !exists(name) {
			t.Skip("mosquitto is not installed (Debian package mosquitto)")
		}
	}
	port = freePort(t)
	config := filepath.Join(t.TempDir(), "mosquitto.conf")
	text := fmt.Sprintf("listener %s 127.0.0.1\nallow_anonymous true\nlog_dest stdout\nconnection b\naddress %s\n%s\n",
		port, s.tcp(), strings.Join(lines, "\n"))
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	start(t, name, "-c", config)
	return port
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// freePort returns a free port.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// bridgeVersions are the names of the protocol versions in mosquitto.conf.
var bridgeVersions = map[string]string{"mqttv31": "mqttv31", "mqttv311": "mqttv311", "mqttv5": "mqttv50"}

const bridgeRules = `
auth: {anonymous: true}
rules:
  - access: allow
    who: [anonymous]
    actions: [publish]
    topics: ["$SYS/broker/connection/{client}/state"]
  - access: allow
    who: [anonymous]
    actions: [subscribe]
    topics: ["$SYS/broker/connection/#"]
  - access: allow
    who: [anonymous]
    topics: ["#"]
`

// TestMosquittoBridge bridges topics in both directions with Mosquitto's default settings, which announce the bridge
// in $SYS.
func TestMosquittoBridge(t *testing.T) {
	config := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(config, []byte(bridgeRules), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{"everybody may": {"--open"}, "a rule allows it": {"--config", config}} {
		for _, version := range versions {
			t.Run(name+" "+version, func(t *testing.T) {
				s := serve(t, args...)
				state := listen(t, s, "%t %p %r", "-q", "1", "-t", "$SYS/broker/connection/#")
				here := listen(t, s, "%t %p", "-q", "1", "-t", "#")
				port := mosquittoBridge(t, s, "bridge_protocol_version "+bridgeVersions[version], "topic # both 1", "remote_clientid host.b")
				if got := state.line("MSG "); !strings.HasPrefix(got, "$SYS/broker/connection/host.b/state 1") {
					t.Fatalf("the bridge's state is %q", got)
				}
				there := start(t, "stdbuf", "-oL", "mosquitto_sub", "-d", "-p", port, "-F", "MSG %t %p", "-q", "1", "-t", "#")
				there.line("Subscribed")
				// the bridge subscribes after its announcement
				eventually(t, "a message crosses to the mosquitto", func() bool {
					mustRun(t, "mosquitto_pub", s.brokerArgs("-q", "1", "-r", "-t", "from/here", "-m", "probe")...)
					return len(there.lines) > 0
				})
				mustRun(t, "mosquitto_pub", "-p", port, "-q", "1", "-t", "from/there", "-m", "once")
				mustRun(t, "mosquitto_pub", s.brokerArgs("-q", "1", "-t", "from/here", "-m", "last")...)
				seen := map[string]int{}
				for seen["from/here last"] == 0 {
					seen[there.line("MSG ")]++
				}
				for there := 0; there == 0; there = seen["here: from/there once"] {
					seen["here: "+here.line("MSG ")]++
				}
				mustRun(t, "mosquitto_pub", "-p", port, "-q", "1", "-t", "from/there", "-m", "end")
				for seen["here: from/there end"] == 0 {
					seen["here: "+here.line("MSG ")]++
				}
				if seen["here: from/there once"] != 1 || seen["from/here last"] != 1 || seen["here: from/here last"] > 1 || seen["from/there once"] > 1 {
					t.Errorf("messages came back: %v", seen)
				}
				if strings.Contains(s.errors(), "client refused") {
					t.Errorf("the broker refused something: %s", s.errors())
				}
			})
		}
	}
}
