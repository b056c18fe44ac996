package clients_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/eclipse/paho.golang/paho"
)

// versions are the protocol versions as named by mosquitto's clients.
var versions = []string{"mqttv31", "mqttv311", "mqttv5"}

// listen starts mosquitto_sub and returns once it has subscribed. Its messages are lines that begin with "MSG ".
func listen(t *testing.T, s *server, format string, args ...string) *process {
	t.Helper()
	needProgram(t, "mosquitto_sub")
	all := s.brokerArgs("-d", "-F", "MSG "+format)
	// stdbuf, because mosquitto_sub buffers its output to a pipe; stdbuf becomes mosquitto_sub itself
	p := start(t, "stdbuf", append([]string{"-oL", "mosquitto_sub"}, append(all, args...)...)...)
	p.line("Subscribed")
	return p
}

// publishLines publishes the numbers from 0 to n-1 with mosquitto_pub.
func publishLines(t *testing.T, s *server, n int, args ...string) {
	t.Helper()
	var in bytes.Buffer
	for i := range n {
		fmt.Fprintln(&in, i)
	}
	cmd := exec.Command("mosquitto_pub", append(s.brokerArgs("-l"), args...)...)
	cmd.Stdin = &in
	if r := runWith(t, cmd); r.status != 0 {
		t.Fatalf("mosquitto_pub %v: exit status %d: %s", args, r.status, r.errors)
	}
}

func TestMosquittoQoS(t *testing.T) {
	s := openBroker(t)
	for _, version := range versions {
		for qos := range 3 {
			t.Run(fmt.Sprintf("%s QoS %d", version, qos), func(t *testing.T) {
				topic, q := "m/"+version, strconv.Itoa(qos)
				sub := listen(t, s, "%t %p %q %r", "-V", version, "-q", q, "-t", topic)
				mustRun(t, "mosquitto_pub", s.brokerArgs("-V", version, "-q", q, "-t", topic, "-m", "hello")...)
				if got, want := sub.line("MSG "), topic+" hello "+q+" 0"; got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			})
		}
	}
}

func TestMosquittoRetained(t *testing.T) {
	needProgram(t, "mosquitto_sub")
	s := openBroker(t)
	for _, version := range versions {
		t.Run(version, func(t *testing.T) {
			topic := "retained/" + version
			mustRun(t, "mosquitto_pub", s.brokerArgs("-V", version, "-q", "1", "-r", "-t", topic, "-m", "old")...)
			mustRun(t, "mosquitto_pub", s.brokerArgs("-V", version, "-q", "1", "-r", "-t", topic, "-m", "new")...)
			out := mustRun(t, "mosquitto_sub", s.brokerArgs("-V", version, "-t", topic, "-C", "1", "-W", "50", "-F", "%p %r")...)
			if out != "new 1\n" {
				t.Errorf("got %q, want the newest, retained", out)
			}
			mustRun(t, "mosquitto_pub", s.brokerArgs("-V", version, "-q", "1", "-r", "-n", "-t", topic)...)
			r := run(t, "mosquitto_sub", s.brokerArgs("-V", version, "-t", topic, "-C", "1", "-W", "1")...)
			if r.status != 27 || r.out != "" {
				t.Errorf("after it was cleared: exit status %d, %q; want 27 and nothing", r.status, r.out)
			}
		})
	}
}

func TestMosquittoCountAndTimeout(t *testing.T) {
	s := openBroker(t)
	sub := listen(t, s, "%p", "-t", "count", "-C", "3", "-W", "50")
	publishLines(t, s, 4, "-t", "count")
	if status := sub.wait(); status != 0 {
		t.Errorf("exit status %d after -C messages, want 0", status)
	}
	if r := run(t, "mosquitto_sub", s.brokerArgs("-t", "quiet", "-W", "1")...); r.status != 27 {
		t.Errorf("exit status %d after -W, want 27", r.status)
	}
}

func TestMosquittoWill(t *testing.T) {
	s := openBroker(t)
	for _, version := range versions {
		t.Run(version, func(t *testing.T) {
			watch := listen(t, s, "%p %q", "-q", "1", "-t", "will/"+version)
			will := []string{"-V", version, "-t", "x", "--will-topic", "will/" + version, "--will-payload", "gone", "--will-qos", "1"}
			mustRun(t, "mosquitto_sub", append(s.brokerArgs("-E"), will...)...) // a clean DISCONNECT, so no will
			dying := listen(t, s, "%p", will...)
			dying.kill()
			if got := watch.line("MSG "); got != "gone 1" {
				t.Errorf("the will was %q", got)
			}
			if len(watch.lines) > 0 {
				t.Error("a will came from a client that had taken its leave")
			}
		})
	}
}

func TestMosquittoSession(t *testing.T) {
	s := openBroker(t)
	for _, version := range versions {
		t.Run(version, func(t *testing.T) {
			args := s.brokerArgs("-V", version, "-c", "-i", "keeper-"+version, "-q", "1", "-t", "kept/"+version)
			mustRun(t, "mosquitto_sub", append(args, "-E")...)
			want := ""
			for i := range 5 {
				mustRun(t, "mosquitto_pub", s.brokerArgs("-q", "1", "-t", "kept/"+version, "-m", strconv.Itoa(i))...)
				want += fmt.Sprintln(i)
			}
			if got := mustRun(t, "mosquitto_sub", append(args, "-C", "5", "-W", "50")...); got != want {
				t.Errorf("got %q, want all in order", got)
			}
		})
	}
}

func TestMosquittoProperties(t *testing.T) {
	s := openBroker(t)
	sub := listen(t, s, "%p %C %D %R %P %E", "-V", "mqttv5", "-t", "props")
	mustRun(t, "mosquitto_pub", s.brokerArgs("-V", "mqttv5", "-t", "props", "-m", "x",
		"-D", "publish", "content-type", "text/plain", "-D", "publish", "correlation-data", "c7",
		"-D", "publish", "response-topic", "answers", "-D", "publish", "user-property", "k", "1",
		"-D", "publish", "user-property", "k", "2", "-D", "publish", "message-expiry-interval", "600")...)
	if got, want := sub.line("MSG "), "x text/plain c7 answers k:1 k:2 600"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestMosquittoLinesKeepTheirOrder(t *testing.T) {
	s := openBroker(t)
	const n = 1000
	for qos := range 3 {
		t.Run(fmt.Sprintf("QoS %d", qos), func(t *testing.T) {
			q := strconv.Itoa(qos)
			sub := listen(t, s, "%p", "-q", q, "-t", "lines/"+q, "-C", strconv.Itoa(n))
			publishLines(t, s, n, "-q", q, "-t", "lines/"+q)
			for i := range n {
				if got := sub.line("MSG "); got != strconv.Itoa(i) {
					t.Fatalf("line %d was %q", i, got)
				}
			}
		})
	}
}

func TestMosquittoLargeMessage(t *testing.T) {
	s := openBroker(t)
	file := filepath.Join(t.TempDir(), "large")
	if err := os.WriteFile(file, bytes.Repeat([]byte("0123456789abcdef"), 60_000), 0o600); err != nil {
		t.Fatal(err)
	}
	sub := listen(t, s, "%l", "-q", "2", "-t", "large")
	mustRun(t, "mosquitto_pub", s.brokerArgs("-q", "2", "-t", "large", "-f", file)...)
	if got := sub.line("MSG "); got != "960000" {
		t.Errorf("got %s bytes", got)
	}
}

func TestMosquittoSharedSubscription(t *testing.T) {
	s := openBroker(t)
	jobs := make(chan string, 1000)
	for range 3 {
		member := listen(t, s, "%p", "-V", "mqttv5", "-q", "1", "-t", "$share/group/work")
		go func() { // until the member is killed
			for l := range member.lines {
				if job, ok := strings.CutPrefix(l, "MSG "); ok {
					jobs <- job
				}
			}
		}()
	}
	const n = 90
	publishLines(t, s, n, "-q", "1", "-t", "work")
	seen := map[string]bool{}
	for range n {
		job := mustReceive(t, "a job", jobs)
		if seen[job] {
			t.Errorf("job %s came twice", job)
		}
		seen[job] = true
	}
}

func TestMosquittoRequestResponse(t *testing.T) {
	needProgram(t, "mosquitto_rr")
	s := openBroker(t)
	answerer := connect5(t, s.url(), nil)
	answerer.subscribe(1, "question")
	asker := start(t, "mosquitto_rr", s.brokerArgs("-V", "mqttv5", "-t", "question", "-e", "answers/me", "-m", "why", "-q", "1")...)
	q := answerer.receive()
	answerer.publish(&paho.Publish{
		Topic: q.Properties.ResponseTopic, QoS: 1, Payload: append([]byte("answer to "), q.Payload...),
		Properties: &paho.PublishProperties{CorrelationData: q.Properties.CorrelationData},
	})
	if status, out := asker.wait(), asker.rest(); status != 0 || !slices.Equal(out, []string{"answer to why"}) {
		t.Errorf("exit status %d, got %q: %s", status, out, asker.errors())
	}
}

func TestMosquittoRetainedOnly(t *testing.T) {
	s := openBroker(t)
	for i := range 20 {
		mustRun(t, "mosquitto_pub", s.brokerArgs("-q", "1", "-r", "-t", fmt.Sprintf("r/%d", i), "-m", "x")...)
	}
	sub := listen(t, s, "%t", "-t", "r/#", "--retained-only")
	mustRun(t, "mosquitto_pub", s.brokerArgs("-q", "1", "-t", "r/live", "-m", "x")...) // the first live message ends it
	topics := map[string]bool{}
	for _, l := range sub.rest() {
		if topic, ok := strings.CutPrefix(l, "MSG "); ok {
			topics[topic] = true
		}
	}
	if len(topics) != 20 || topics["r/live"] {
		t.Errorf("got %d retained topics, want 20: %v", len(topics), topics)
	}
}
