package clients_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// server is a running outcry serve.
type server struct {
	*process
	t    *testing.T
	args []string
	data string // folder

	addrs map[string]string // by listener: tcp, ws, http
}

// openBroker starts a broker with all permissions for anonymous clients.
func openBroker(t *testing.T, args ...string) *server {
	t.Helper()
	return serve(t, append([]string{"--open"}, args...)...)
}

// serve starts a broker on free ports with an empty data folder.
func serve(t *testing.T, args ...string) *server {
	t.Helper()
	s := &server{t: t, args: args, data: filepath.Join(t.TempDir(), "data")}
	any := loopback() + ":0"
	s.start(map[string]string{"tcp": any, "ws": any, "http": any})
	return s
}

var loopbackCount atomic.Uint32

// loopback returns an address of this machine that no other test uses, if there are several: so a restarted broker
// finds its ports free, and not taken by another test's client.
func loopback() string {
	if runtime.GOOS != "linux" {
		return "127.0.0.1"
	}
	n := loopbackCount.Add(1)
	return fmt.Sprintf("127.9.%d.%d", n/200, 1+n%200)
}

// restart starts the ended broker again, with the same addresses and data.
func (s *server) restart() {
	s.t.Helper()
	s.start(s.addrs)
}

func (s *server) start(addrs map[string]string) {
	s.t.Helper()
	file := filepath.Join(s.t.TempDir(), "addrs")
	args := []string{"serve", "--data", s.data, "--addr-file", file}
	for _, l := range []string{"tcp", "ws", "http"} {
		args = append(args, "--"+l, addrs[l])
	}
	s.process = start(s.t, outcry, append(args, s.args...)...)
	p := s.process
	s.t.Cleanup(func() {
		if s.t.Failed() {
			s.t.Logf("the broker wrote:\n%s", p.errors())
		}
	})
	s.addrs = readAddrs(s.t, p, file)
}

// readAddrs waits for the file of bound addresses, which exists when the broker is ready.
func readAddrs(t *testing.T, p *process, file string) (addrs map[string]string) {
	t.Helper()
	eventually(t, "the broker is ready", func() bool {
		select {
		case <-p.exited:
			t.Fatalf("the broker ended: %s", p.errors())
		default:
		}
		b, err := os.ReadFile(file)
		return err == nil && json.Unmarshal(b, &addrs) == nil
	})
	return addrs
}

// stop ends the broker with SIGTERM and checks its exit status.
func (s *server) stop() {
	s.t.Helper()
	s.signal(syscall.SIGTERM)
	if status := s.wait(); status != 0 {
		s.t.Errorf("exit status %d after SIGTERM: %s", status, s.errors())
	}
}

func (s *server) tcp() string { return s.addrs["tcp"] }

func (s *server) url() string { return "mqtt://" + s.tcp() }

func (s *server) ws() string { return "ws://" + s.addrs["ws"] + "/mqtt" }

// brokerArgs returns the arguments with the broker's address for mosquitto's clients.
func (s *server) brokerArgs(args ...string) []string {
	host, port, err := net.SplitHostPort(s.tcp())
	if err != nil {
		s.t.Fatal(err)
	}
	return append([]string{"-h", host, "-p", port}, args...)
}

// metric returns the value of a metric without labels; 0 if it is absent.
func (s *server) metric(name string) float64 {
	s.t.Helper()
	resp, err := http.Get("http://" + s.addrs["http"] + "/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		value, ok := strings.CutPrefix(lines.Text(), name+" ")
		if !ok {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			s.t.Fatal(err)
		}
		return v
	}
	return 0
}

// token mints a token for the broker.
func (s *server) token(args ...string) string {
	s.t.Helper()
	out := mustRun(s.t, outcry, append([]string{"token", "--secret-file", filepath.Join(s.data, "secret")}, args...)...)
	return strings.TrimSpace(out)
}
