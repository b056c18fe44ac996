package server

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/outcry-mqtt/outcry/cmd/outcry/command"
	"github.com/outcry-mqtt/outcry/cmd/outcry/config"
	"github.com/outcry-mqtt/outcry/cmd/outcry/outcrytest"
	"github.com/outcry-mqtt/outcry/listeners"
)

// openServer opens a server in this process.
func openServer(t *testing.T) *server {
	t.Helper()
	t.Chdir(t.TempDir())
	o := config.Options{Sets: []config.Set{
		{Path: "listeners.tcp.address", Value: "127.0.0.1:0"},
		{Path: "listeners.ws.address", Value: "127.0.0.1:0"},
		{Path: "http.address", Value: "127.0.0.1:0"},
	}}
	c, err := config.Load(o)
	if err != nil {
		t.Fatal(err)
	}
	out := newOutputs(c, io.Discard, io.Discard)
	t.Cleanup(func() { out.end(nil) })
	s, err := open(&serveFlags{}, o, c, out)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// slowListener is slow to stop.
type slowListener struct {
	stopping func()
	ended    chan struct{}
}

func (l *slowListener) Name() string   { return "slow" }
func (l *slowListener) Addr() net.Addr { return &net.TCPAddr{} }
func (l *slowListener) Serve() error   { <-l.ended; return listeners.ErrServerClosed }
func (l *slowListener) Close() error   { return nil }

func (l *slowListener) Shutdown(context.Context) error {
	l.stopping()
	close(l.ended)
	return nil
}

func TestNotReadyWhileItStops(t *testing.T) {
	s := openServer(t)
	var status int
	var told string
	s.in.listeners = append(s.in.listeners, &slowListener{ended: make(chan struct{}), stopping: func() {
		response, err := http.Get("http://" + s.ops.Addr().String() + "/readyz")
		if err != nil {
			t.Error(err)
			return
		}
		defer http.DefaultClient.CloseIdleConnections()
		defer response.Body.Close()
		text, _ := io.ReadAll(response.Body)
		status, told = response.StatusCode, string(text)
	}})
	stops := make(chan os.Signal, 1)
	stops <- syscall.SIGTERM
	if err := s.run(t.Context(), stops, nil); err != nil {
		t.Errorf("run: %v", err)
	}
	if status != http.StatusServiceUnavailable || told != "stopping\n" {
		t.Errorf("/readyz says %d %q", status, told)
	}
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	s := openServer(t)
	release, released := make(chan struct{}), make(chan struct{})
	s.in.listeners = append(s.in.listeners, &slowListener{ended: released, stopping: func() { <-release }})
	t.Cleanup(func() { close(release); <-released })
	stops := make(chan os.Signal, 2)
	stops <- syscall.SIGTERM
	stops <- syscall.SIGTERM
	err := s.run(t.Context(), stops, nil)
	var status *command.ExitError
	if !errors.As(err, &status) || status.ExitCode() != 128+15 || !strings.Contains(err.Error(), "second signal") {
		t.Errorf("run: %v", err)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	s := openServer(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.run(ctx, nil, nil); err != nil {
		t.Errorf("run: %v", err)
	}
}

func TestPartThatFailsEndsAll(t *testing.T) {
	s := openServer(t)
	s.in.listeners = append(s.in.listeners, failing{&slowListener{ended: make(chan struct{}), stopping: func() {}}})
	if err := s.run(t.Context(), nil, nil); err == nil || !strings.Contains(err.Error(), "listener slow: out of order") {
		t.Errorf("run: %v", err)
	}
}

// failing is a listener that fails at once.
type failing struct{ *slowListener }

func (failing) Serve() error { return errors.New("out of order") }

func TestWithinLeavesAStepBehind(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	began := time.Now()
	err := within(10*time.Millisecond, func(context.Context) error { <-release; return nil })
	if err == nil || time.Since(began) > outcrytest.WaitLimit {
		t.Errorf("error %v after %v", err, time.Since(began))
	}
}

// TestStopsBeforeItRan stops a server whose broker was shut down before it ran, which is no error.
func TestStopsBeforeItRan(t *testing.T) {
	s := openServer(t)
	if err := s.broker.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.run(ctx, nil, nil); err != nil {
		t.Errorf("run: %v", err)
	}
}

// TestWillsAtSIGTERM checks retained wills after SIGTERM and a restart.
func TestWillsAtSIGTERM(t *testing.T) {
	dir := t.TempDir()
	p := outcrytest.StartServe(t, dir, "--open")
	for _, clean := range []bool{true, false} {
		topic := map[bool]string{true: "ends/state", false: "stays/state"}[clean]
		c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://"+p.Addresses["tcp"]).SetConnectTimeout(outcrytest.WaitLimit).
			SetAutoReconnect(false).SetClientID(topic).SetCleanSession(clean).SetWill(topic, "gone", 1, true))
		for _, act := range []func() mqtt.Token{c.Connect, func() mqtt.Token { return c.Publish(topic, 1, true, "here") }} {
			if token := act(); !token.WaitTimeout(outcrytest.WaitLimit) || token.Error() != nil {
				t.Fatal(token.Error())
			}
		}
		defer c.Disconnect(0)
	}
	p.Stop()
	p = outcrytest.StartServe(t, dir, "--open")
	for topic, want := range map[string]string{"ends/state": "gone\n", "stays/state": "here\n"} { // may still come back
		if status, stdout, stderr := p.Client("sub", "", "-C", "1", "-t", topic); status != 0 || stdout != want {
			t.Errorf("%s: status %d, %q, want %q\n%s", topic, status, stdout, want, stderr)
		}
	}
	p.Stop()
}
