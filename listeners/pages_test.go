package listeners_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/listeners"
)

var hello = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "hello from %s", r.URL.Path) })

func TestPages(t *testing.T) {
	l := listenWS(t, listeners.WebSocketOptions{Pages: hello})
	answer, text := ask(t, l, "/app.js", nil)
	if answer.StatusCode != 200 || text != "hello from /app.js" {
		t.Errorf("answer is %d %s", answer.StatusCode, text)
	}
	for name, want := range map[string]string{
		"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self' ws://" +
			l.Addr().String() + " wss://" + l.Addr().String() + "; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
		"Referrer-Policy":        "no-referrer",
		"X-Content-Type-Options": "nosniff",
		"X-Frame-Options":        "DENY",
	} {
		if got := answer.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

// A Host header cannot add to the policy.
func TestPagesPolicyOfAHost(t *testing.T) {
	l := listenWS(t, listeners.WebSocketOptions{ContentSecurityPolicy: "connect-src ws://{host}"})
	for host, want := range map[string]string{
		"mqtt.example":                    "mqtt.example",
		"mqtt_1.example:8083":             "mqtt_1.example:8083",
		"[::1]:8083":                      "[::1]:8083",
		"a;script-src":                    "invalid",
		"a,b":                             "invalid",
		"*":                               "invalid",
		"'unsafe-inline'":                 "invalid",
		strings.Repeat("a", 300) + "$.de": "invalid",
	} {
		answer, _ := ask(t, l, "/", http.Header{"Host": {host}})
		if got := answer.Header.Get("Content-Security-Policy"); got != "connect-src ws://"+want {
			t.Errorf("for %q the policy is %q", host, got)
		}
	}
}

func TestPagesPolicy(t *testing.T) {
	l := listenWS(t, listeners.WebSocketOptions{ContentSecurityPolicy: "default-src 'none'"})
	answer, _ := ask(t, l, "/", nil)
	if got := answer.Header.Get("Content-Security-Policy"); answer.StatusCode != 404 || got != "default-src 'none'" {
		t.Errorf("answer is %d with policy %q", answer.StatusCode, got)
	}
}

func TestPlainRequestForWebSocket(t *testing.T) {
	l := listenWS(t, listeners.WebSocketOptions{Pages: hello})
	answer, text := ask(t, l, "/mqtt", nil)
	if answer.StatusCode != http.StatusUpgradeRequired || !strings.Contains(text, `mqtt.connect("ws://host:port/mqtt")`) {
		t.Errorf("answer is %d %s", answer.StatusCode, text)
	}
	if got := answer.Header.Get("Upgrade"); got != "websocket" {
		t.Errorf("Upgrade is %q", got)
	}
}

func TestHosts(t *testing.T) {
	machine, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		allowed []string
		host    string
		want    int
	}{
		"any":                   {nil, "evil.example", 200},
		"listed":                {[]string{"mqtt.example"}, "mqtt.example", 200},
		"listed, port and case": {[]string{"mqtt.example"}, "MQTT.example:8083", 200},
		"not listed":            {[]string{"mqtt.example"}, "evil.example", 421},
		"localhost":             {[]string{"loopback"}, "localhost:8083", 200},
		"below localhost":       {[]string{"loopback"}, "app.localhost", 200},
		"IPv4":                  {[]string{"loopback"}, "127.0.0.1:8083", 200},
		"IPv6":                  {[]string{"loopback"}, "[::1]:8083", 200},
		"IPv6 without port":     {[]string{"loopback"}, "[::1]", 200},
		"rebound name":          {[]string{"loopback"}, "evil.example:8083", 421},
		"name that looks local": {[]string{"loopback"}, "localhost.evil.example", 421},
		"own: an address":       {[]string{"own"}, "192.0.2.1:8083", 200},
		"own: IPv6":             {[]string{"own"}, "[2001:db8::1]:8083", 200},
		"own: localhost":        {[]string{"own"}, "localhost:8083", 200},
		"own: rebound name":     {[]string{"own"}, "evil.example:8083", 421},
		"own: the words":        {[]string{"own"}, "own", 421},
		"own: this machine":     {[]string{"own"}, machine + ":8083", 200},
		"own: by mDNS":          {[]string{"own"}, machine + ".local", 200},
		"own: or listed":        {[]string{"own", "mqtt.example"}, "mqtt.example", 200},
		"the word itself":       {[]string{"loopback", "mqtt.example"}, "mqtt.example", 200},
	} {
		t.Run(name, func(t *testing.T) {
			l := listenWS(t, listeners.WebSocketOptions{Pages: hello, Hosts: test.allowed})
			answer, text := ask(t, l, "/", http.Header{"Host": {test.host}})
			if answer.StatusCode != test.want {
				t.Errorf("answer is %d %s, want %d", answer.StatusCode, text, test.want)
			}
			if test.want == 421 && !strings.Contains(text, "add it to listeners.ws.hosts") {
				t.Errorf("text is %s", text)
			}
		})
	}
}

// A peer that sends its header slowly, or nothing, is dropped, and blocks nobody else.
func TestSlowHeader(t *testing.T) {
	for name, begin := range map[string]string{"nothing": "", "half": "GET /mqtt HTTP/1.1\r\nHost: x\r\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := listenWS(t, listeners.WebSocketOptions{Pages: hello, HeaderTimeout: dropTime})
			slow := dial(t, l)
			if _, err := io.WriteString(slow, begin); err != nil {
				t.Fatal(err)
			}
			if answer, text := ask(t, l, "/", nil); answer.StatusCode != 200 {
				t.Errorf("meanwhile another got %d %s", answer.StatusCode, text)
			}
			wantClosed(t, slow)
		})
	}
}

func TestLargeHeader(t *testing.T) {
	l := listenWS(t, listeners.WebSocketOptions{Pages: hello})
	for size, want := range map[int]int{12 << 10: 200, 24 << 10: 431} {
		answer, _ := ask(t, l, "/", http.Header{"Host": {"x"}, "X-Large": {strings.Repeat("x", size)}})
		if answer.StatusCode != want {
			t.Errorf("a header of %d bytes got %d, want %d", size, answer.StatusCode, want)
		}
	}
}

// Connections with HTTP are bounded; WebSockets do not count.
func TestMaxRequests(t *testing.T) {
	t.Parallel()
	to := newTestAttacher()
	l := listenWS(t, listeners.WebSocketOptions{Attacher: to, MaxRequests: 1, HeaderTimeout: dropTime})
	for range 3 {
		if c, _, refused := open(t, l, "/mqtt", nil, "mqtt"); c == nil {
			t.Fatal(refused)
		}
		to.next(t)
	}
	begin := time.Now()
	silent := dial(t, l)
	if c, _, refused := open(t, l, "/mqtt", nil, "mqtt"); c == nil {
		t.Fatal(refused)
	}
	to.next(t)
	if took := time.Since(begin); took < dropTime/2 {
		t.Errorf("the upgrade took %v and did not wait for the silent peer", took)
	}
	wantClosed(t, silent)
}

// Browsers open connections in advance; a closing listener does not wait for them.
func TestStopDropsFreshConnections(t *testing.T) {
	for name, stop := range closeMethods {
		t.Run(name, func(t *testing.T) {
			l := listenWS(t, listeners.WebSocketOptions{Pages: hello})
			fresh := dial(t, l)
			ask(t, l, "/", nil) // accepted after fresh
			if err := stop(t, l); err != nil {
				t.Error(err)
			}
			wantClosed(t, fresh)
		})
	}
}

func TestShutdownLetsRequestsEnd(t *testing.T) {
	started, finish := make(chan struct{}), make(chan struct{})
	l := listenWS(t, listeners.WebSocketOptions{Pages: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(started)
		<-finish
		fmt.Fprint(w, "done")
	})})
	got := make(chan string)
	go func() {
		_, text := ask(t, l, "/", nil)
		got <- text
	}()
	<-started
	down := make(chan error)
	go func() { down <- l.Shutdown(t.Context()) }()
	waitRefused(t, l)
	close(finish)
	if text := <-got; text != "done" {
		t.Errorf("got %q", text)
	}
	if err := <-down; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

// Shutdown cuts off a request when its context ends.
func TestShutdownDoesNotWaitForever(t *testing.T) {
	started, finish := make(chan struct{}), make(chan struct{})
	defer close(finish)
	l := listenWS(t, listeners.WebSocketOptions{Pages: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(started)
		<-finish
	})})
	c := dial(t, l)
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-started
	if err := l.Shutdown(within(t, 50*time.Millisecond)); err == nil {
		t.Error("Shutdown says that all is done")
	}
	wantClosed(t, c)
}

// No listener ends an attached connection, which belongs to the broker.
func TestStopLeavesAttached(t *testing.T) {
	for name, stop := range closeMethods {
		t.Run(name, func(t *testing.T) {
			to := newTestAttacher()
			l := listenWS(t, listeners.WebSocketOptions{Attacher: to})
			c, _, refused := open(t, l, "/mqtt", nil, "mqtt")
			if c == nil {
				t.Fatal(refused)
			}
			link := to.next(t)
			if err := stop(t, l); err != nil {
				t.Error(err)
			}
			wantFrames(t, c, link.Conn)
		})
	}
}

// waitRefused waits until l accepts no more connections.
func waitRefused(t *testing.T, l listeners.Listener) {
	t.Helper()
	for deadline := time.Now().Add(waitLimit); ; {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			return
		}
		c.Close()
		if time.Now().After(deadline) {
			t.Fatal("the port is still open")
		}
	}
}
