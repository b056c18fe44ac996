package server

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/cmd/outcry/outcrytest"
)

func TestConnectionsAreBoundedByOpenFiles(t *testing.T) {
	for _, tt := range []struct {
		name                    string
		configured, files, want int
		says                    string
	}{
		{"no limit", -1, 20_000, 19_872, "INFO"},
		{"zero", 0, 1024, 896, "INFO"},
		{"few files", 0, 200, 100, "INFO"},
		{"less than may be", 5, 20_000, 5, ""},
		{"more than may be", 50_000, 20_000, 19_872, "ulimit -n"},
		{"not known", -1, 0, -1, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var said strings.Builder
			l := broker.Limits{MaxConnections: tt.configured}
			boundConnections(&l, tt.files, slog.New(slog.NewTextHandler(&said, nil)))
			if l.MaxConnections != tt.want || !strings.Contains(said.String(), tt.says) || tt.says == "" && said.Len() > 0 {
				t.Errorf("%d connections, want %d; said %q", l.MaxConnections, tt.want, &said)
			}
		})
	}
}

// TestFullOfConnections fills a broker with a low limit of open files: further clients are closed, the operator can
// still connect, and each client that leaves makes room for another.
func TestFullOfConnections(t *testing.T) {
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip(err)
	}
	const files, most = 200, 100
	p := outcrytest.StartServeAs(t, t.TempDir(), func(cmd *exec.Cmd) {
		cmd.Args = append([]string{"sh", "-c", fmt.Sprintf(`ulimit -n %d && exec "$0" "$@"`, files), cmd.Path}, cmd.Args[1:]...)
		cmd.Path = "/bin/sh"
	}, "--open")
	var in []net.Conn
	for i := range most {
		c, ok := connectClient(t, p.Addresses["tcp"], i)
		if !ok {
			t.Fatalf("connection %d of %d was closed", i+1, most)
		}
		in = append(in, c)
	}
	for i := range 20 {
		if _, ok := connectClient(t, p.Addresses["tcp"], most+i); ok {
			t.Fatalf("connection %d was taken", most+i+1)
		}
	}
	p.WaitFor(p.Stderr, 0, "limit reached", "limit=connections")
	client := http.Client{Timeout: outcrytest.WaitLimit, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get("http://" + p.Addresses["http"] + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Errorf("health: %s", answer.Status)
	}
	in[0].Close()
	for end := time.Now().Add(outcrytest.WaitLimit); ; time.Sleep(5 * time.Millisecond) {
		if _, ok := connectClient(t, p.Addresses["tcp"], 1000); ok {
			break
		}
		if time.Now().After(end) {
			t.Fatal("no room, though one has left")
		}
	}
	p.Stop()
}

// connectClient connects a client, and reports whether it was accepted.
func connectClient(t *testing.T, address string, number int) (net.Conn, bool) {
	t.Helper()
	c, err := net.DialTimeout("tcp", address, outcrytest.WaitLimit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(outcrytest.WaitLimit))
	id := fmt.Sprintf("c%05d", number)
	connect := append([]byte{0x10, byte(12 + len(id)), 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 0, 0, byte(len(id))}, id...)
	var connack [4]byte
	if _, err := c.Write(connect); err != nil {
		return c, false
	}
	if _, err := io.ReadFull(c, connack[:]); err != nil {
		return c, false
	}
	return c, connack == [4]byte{0x20, 2, 0, 0}
}
