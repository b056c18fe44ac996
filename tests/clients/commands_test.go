package clients_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/eclipse/paho.golang/paho"
)

func TestPubAndSub(t *testing.T) {
	s := openBroker(t)
	for _, version := range []string{"3", "4", "5"} {
		for _, qos := range []string{"0", "1", "2"} {
			t.Run("version "+version+" QoS "+qos, func(t *testing.T) {
				at := []string{"--url", s.url(), "-V", version, "-q", qos, "-t", "x/" + version + "/" + qos}
				c := connect5(t, s.url(), nil)
				c.subscribe(2, at[len(at)-1])
				mustRun(t, outcry, append([]string{"pub", "-m", "hello", "-r"}, at...)...)
				if m := c.receive(); string(m.Payload) != "hello" || fmt.Sprint(m.QoS) != qos {
					t.Errorf("got %q with QoS %d", m.Payload, m.QoS)
				}
				if got := mustRun(t, outcry, append([]string{"sub", "-v", "-C", "1", "-W", "50"}, at...)...); got != at[len(at)-1]+" hello\n" {
					t.Errorf("sub printed %q", got)
				}
			})
		}
	}
}

func TestPubSources(t *testing.T) {
	s := openBroker(t)
	c := connect5(t, s.url(), nil)
	c.subscribe(1, "src")
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("from\na file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, stdin string
		args        []string
		want        []string
	}{
		{"message", "", []string{"-m", "m"}, []string{"m"}},
		{"file", "", []string{"-f", file}, []string{"from\na file\n"}},
		{"lines", "a\n\nb", []string{"-l"}, []string{"a", "", "b"}},
		{"all of stdin", "a\nb\n", []string{"-s"}, []string{"a\nb\n"}},
		{"nothing", "", []string{"-n"}, []string{""}},
		{"repeated", "", []string{"-m", "r", "--repeat", "3", "--repeat-delay", "10ms"}, []string{"r", "r", "r"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cmd := exec.Command(outcry, append([]string{"pub", "--url", s.url(), "-t", "src", "-q", "1"}, tt.args...)...)
			cmd.Stdin = strings.NewReader(tt.stdin)
			runWith(t, cmd).mustReport(t, 0)
			for _, want := range tt.want {
				if m := c.receive(); string(m.Payload) != want {
					t.Errorf("got %q, want %q", m.Payload, want)
				}
			}
		})
	}
}

// endlessLines reads as lines without end.
type endlessLines struct{}

func (endlessLines) Read(b []byte) (int, error) {
	n := len(b) &^ 1
	for i := 0; i < n; i += 2 {
		b[i], b[i+1] = 'x', '\n'
	}
	return n, nil
}

func TestPubEndsWithTheBroker(t *testing.T) {
	for _, version := range []string{"4", "5"} {
		t.Run(version, func(t *testing.T) {
			s := openBroker(t)
			c := connect5(t, s.url(), nil)
			c.subscribe(0, "flow")
			cmd := exec.Command(outcry, "pub", "--url", s.url(), "-V", version, "-t", "flow", "-q", "1", "-l")
			cmd.Stdin = endlessLines{}
			p := startWith(t, cmd)
			c.receive()
			s.kill()
			if status := p.wait(); status != 1 || !strings.Contains(p.errors(), "connection") {
				t.Errorf("exit status %d, it told %q", status, p.errors())
			}
		})
	}
}

func TestPubPropertiesAndWill(t *testing.T) {
	s := openBroker(t)
	c := connect5(t, s.url(), nil)
	c.subscribe(1, "p")
	mustRun(t, outcry, "pub", "--url", s.url(), "-t", "p", "-m", "x", "--user-property", "k=v=w", "--user-property", "k=2",
		"--content-type", "text/plain", "--response-topic", "r", "--correlation-data", "7", "--expiry", "90s")
	p := c.receive().Properties
	if p.ContentType != "text/plain" || p.ResponseTopic != "r" || string(p.CorrelationData) != "7" ||
		p.MessageExpiry == nil || *p.MessageExpiry > 90 || fmt.Sprint(p.User) != "[{k v=w} {k 2}]" {
		t.Errorf("got %+v", p)
	}
	c.subscribe(1, "wills/#")
	dying := start(t, outcry, "sub", "--url", s.url(), "-t", "wills/ready", "--will-topic", "wills/gone", "--will-payload", "oh", "--will-qos", "1")
	c.publish(&paho.Publish{Topic: "wills/ready", QoS: 1, Retain: true, Payload: []byte("ready")})
	c.receive()
	dying.line("ready")
	dying.kill()
	if m := c.receive(); m.Topic != "wills/gone" || string(m.Payload) != "oh" {
		t.Errorf("the will was %s %q", m.Topic, m.Payload)
	}
}

func TestSubJSON(t *testing.T) {
	s := openBroker(t)
	mustRun(t, outcry, "pub", "--url", s.url(), "-t", "j", "-m", "<é>", "-r", "-q", "1", "--user-property", "k=v")
	var m struct {
		Topic, Payload string
		QoS            int
		Retain         bool
		Props          struct {
			User []struct{ Name, Value string }
		}
	}
	out := mustRun(t, outcry, "sub", "--url", s.url(), "-t", "j", "-q", "1", "-C", "1", "-W", "50", "--json")
	if err := json.Unmarshal([]byte(out), &m); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	if got := fmt.Sprint(m); got != "{j <é> 1 true {[{k v}]}}" {
		t.Errorf("got %s", got)
	}
}

func TestSubSelects(t *testing.T) {
	s := openBroker(t)
	for _, topic := range []string{"s/a", "s/b", "s/c"} {
		mustRun(t, outcry, "pub", "--url", s.url(), "-t", topic, "-m", topic, "-r", "-q", "1")
	}
	tests := []struct {
		name   string
		args   []string
		want   string
		status int
	}{
		{"count", []string{"-t", "s/a", "-C", "1"}, "s/a\n", 0},
		{"timeout", []string{"-t", "s/none", "-W", "0.3"}, "", 27},
		{"filter out", []string{"-t", "s/#", "-T", "s/a", "-T", "s/c", "-W", "3"}, "s/b\n", 27},
		{"no retained", []string{"-t", "s/#", "-R", "-W", "0.5"}, "", 27},
		{"no newline", []string{"-t", "s/b", "-C", "1", "-N"}, "s/b", 0},
		{"format", []string{"-t", "s/b", "-C", "1", "-F", `%t\t%l`}, "s/b\t3\n", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := run(t, outcry, append([]string{"sub", "--url", s.url()}, tt.args...)...)
			r.mustReport(t, tt.status)
			if r.out != tt.want {
				t.Errorf("printed %q, want %q", r.out, tt.want)
			}
		})
	}
}

func TestSubKeepsItsSession(t *testing.T) {
	s := openBroker(t)
	for _, version := range []string{"4", "5"} {
		at := []string{"sub", "--url", s.url(), "-V", version, "-q", "1", "-c", "-i", "keeper" + version, "-t", "kept" + version}
		mustRun(t, outcry, append(at, "-E")...)
		mustRun(t, outcry, "pub", "--url", s.url(), "-q", "1", "-t", "kept"+version, "-m", "a", "--repeat", "3")
		if got := mustRun(t, outcry, append(at, "-C", "3", "-W", "50")...); got != "a\na\na\n" {
			t.Errorf("version %s: got %q", version, got)
		}
	}
}

func TestSubComesBack(t *testing.T) {
	s := openBroker(t)
	mustRun(t, outcry, "pub", "--url", s.url(), "-t", "back", "-m", "value", "-r", "-q", "1")
	p := start(t, outcry, "sub", "--url", s.url(), "-t", "back")
	p.line("value")
	s.stop()
	s.restart()
	p.line("value") // retained, after the reconnect
	if told := p.errors(); !strings.Contains(told, "server shutting down (0x8B)") || !strings.Contains(told, "connecting again") {
		t.Errorf("it told %q", told)
	}
	p.signal(syscall.SIGINT)
	if status := p.wait(); status != 0 {
		t.Errorf("exit status %d after Ctrl-C", status)
	}
}

func TestSimulate(t *testing.T) {
	s := openBroker(t)
	tests := []struct{ name, filter string }{
		{"ticker", "ticker/+"},
		{"sensors", "sensors/+/temperature"},
		{"chatters", "chat/lobby/here/+"},
		{"machine", "machine/+/cpu"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := connect5(t, s.url(), nil)
			c.subscribe(1, tt.filter)
			args := []string{"simulate", tt.name, "--url", s.url()}
			if tt.name == "sensors" {
				args = append(args, "--rate", "50")
			}
			p := start(t, outcry, args...)
			c.receive()
			p.signal(syscall.SIGINT)
			if status := p.wait(); status != 0 || !strings.Contains(p.errors(), " messages in ") {
				t.Errorf("exit status %d, %q; want 0 and a summary", status, p.errors())
			}
		})
	}
}

func TestSimulateWithTokens(t *testing.T) {
	s := serve(t)
	secret := filepath.Join(s.data, "secret")
	listener := start(t, outcry, "sub", "--url", s.url(), "-v", "-t", "ticker/#", "-t", "machine/#", "-t", "chat/lobby/#",
		"-P", s.token("--user", "ada", "--rooms", "lobby"))
	for _, name := range []string{"ticker", "machine", "chatters"} {
		p := start(t, outcry, "simulate", name, "--url", s.url(), "--secret-file", secret)
		listener.line(map[string]string{"ticker": "ticker/", "machine": "machine/", "chatters": "chat/lobby/here/"}[name])
		p.signal(syscall.SIGTERM)
		if status := p.wait(); status != 0 {
			t.Errorf("%s: exit status %d: %s", name, status, p.errors())
		}
	}
	r := run(t, outcry, "simulate", "ticker", "--url", s.url(), "--token", "nonsense")
	r.mustReport(t, 1, "the broker refused the connection (0x87)")
}
