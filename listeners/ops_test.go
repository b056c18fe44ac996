package listeners_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/listeners"
)

func listenOps(t *testing.T, o listeners.OpsOptions) *listeners.Ops {
	t.Helper()
	if o.Address == "" {
		o.Address = "127.0.0.1:0"
	}
	l, err := listeners.ListenOps(o)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, l)
	return l
}

func TestOps(t *testing.T) {
	metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "outcry_up 1") })
	l := listenOps(t, listeners.OpsOptions{Metrics: metrics})
	for path, want := range map[string]struct {
		status int
		text   string
	}{
		"/":                              {200, `href="/metrics"`},
		"/metrics":                       {200, "outcry_up 1"},
		"/healthz":                       {200, "ok\n"},
		"/readyz":                        {200, "ready\n"},
		"/debug/pprof/":                  {200, "goroutine"},
		"/debug/pprof/goroutine?debug=1": {200, "goroutine profile"},
		"/debug/pprof/cmdline":           {200, "listeners"},
		"/debug/pprof/symbol":            {200, "num_symbols"},
		"/other":                         {404, "not found"},
	} {
		t.Run(path, func(t *testing.T) {
			answer, text := ask(t, l, path, nil)
			if answer.StatusCode != want.status || !strings.Contains(text, want.text) {
				t.Errorf("answer is %d %.200s", answer.StatusCode, text)
			}
		})
	}
}

func TestOpsWithoutMetrics(t *testing.T) {
	if answer, _ := ask(t, listenOps(t, listeners.OpsOptions{}), "/metrics", nil); answer.StatusCode != 404 {
		t.Errorf("status is %d", answer.StatusCode)
	}
}

func TestOpsOnlyAnswersQuestions(t *testing.T) {
	l := listenOps(t, listeners.OpsOptions{})
	answer, err := client(t, nil).Post("http://"+l.Addr().String()+"/healthz", "text/plain", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("status is %d", answer.StatusCode)
	}
}

func TestNotReady(t *testing.T) {
	l := listenOps(t, listeners.OpsOptions{Ready: func() []error {
		return []error{errors.New("the store is being restored"), errors.New("no listener yet")}
	}})
	answer, text := ask(t, l, "/readyz", nil)
	if answer.StatusCode != 503 || text != "the store is being restored\nno listener yet\n" {
		t.Errorf("answer is %d %s", answer.StatusCode, text)
	}
	if answer, _ := ask(t, l, "/healthz", nil); answer.StatusCode != 200 {
		t.Errorf("health is %d: an orchestrator would kill a process that only starts", answer.StatusCode)
	}
}

func TestOpsRefusesRemote(t *testing.T) {
	for address, hint := range map[string]string{
		"0.0.0.0:9090":   "use 127.0.0.1:9090 in http.address or set http.token_file",
		":9090":          "use 127.0.0.1:9090 in http.address or set http.token_file",
		"[::]:9090":      "use 127.0.0.1:9090 in http.address or set http.token_file",
		"192.0.2.1:9090": "use 127.0.0.1:9090 in http.address or set http.token_file",
	} {
		_, err := listeners.ListenOps(listeners.OpsOptions{Address: address})
		want := "listen " + address + ": metrics and profiles would be open to other machines without a token; " + hint
		if err == nil || err.Error() != want {
			t.Errorf("error is %v\nwant     %s", err, want)
		}
	}
}

func TestOpsHosts(t *testing.T) {
	for name, test := range map[string]struct {
		options listeners.OpsOptions
		host    string
		want    int
	}{
		"loopback":        {listeners.OpsOptions{}, "localhost:9090", 200},
		"rebound name":    {listeners.OpsOptions{}, "evil.example:9090", 421},
		"listed":          {listeners.OpsOptions{Hosts: []string{"ops.example"}}, "ops.example", 200},
		"other machines":  {listeners.OpsOptions{Address: "0.0.0.0:0", TokenFile: tokenFile(t, opsToken)}, "outcry:9090", 200},
		"loopback, token": {listeners.OpsOptions{TokenFile: tokenFile(t, opsToken)}, "outcry:9090", 421},
	} {
		t.Run(name, func(t *testing.T) {
			l := listenOps(t, test.options)
			_, port, err := net.SplitHostPort(l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			r, err := http.NewRequestWithContext(t.Context(), "GET", "http://127.0.0.1:"+port+"/healthz", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Host = test.host
			answer, err := client(t, nil).Do(r)
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
			if answer.StatusCode != test.want {
				t.Errorf("status is %d, want %d", answer.StatusCode, test.want)
			}
		})
	}
}

func TestOpsHandlers(t *testing.T) {
	own := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "mine") })
	l := listenOps(t, listeners.OpsOptions{Handlers: map[string]http.Handler{"GET /mine/{$}": own}})
	if answer, text := ask(t, l, "/mine/", nil); answer.StatusCode != 200 || text != "mine\n" {
		t.Errorf("answer is %d %s", answer.StatusCode, text)
	}
	if answer, _ := ask(t, l, "/mine/", http.Header{"Host": {"evil.example"}}); answer.StatusCode != 421 {
		t.Errorf("a rebound name gets %d", answer.StatusCode)
	}
}

// TestOpsOtherSites checks which requests the operator's listener refuses as possibly sent by another site's page.
func TestOpsOtherSites(t *testing.T) {
	l, err := listeners.ListenOps(listeners.OpsOptions{Address: "127.0.0.1:0", Handlers: map[string]http.Handler{"POST /change": hello}})
	if err != nil {
		t.Fatal(err)
	}
	serve(t, l)
	const firefox = "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:60.0) Gecko/20100101 Firefox/60.0\r\n"
	host := l.Addr().String()
	for _, test := range []struct {
		name, method, path, header string
		want                       int
	}{
		{"a scraper", "GET", "/metrics", "", 404}, // there are no metrics here
		{"a probe", "GET", "/healthz", "", 200},
		{"another site's page", "GET", "/healthz", "Sec-Fetch-Site: cross-site\r\n", 403},
		{"a page of another port", "GET", "/metrics", "Sec-Fetch-Site: same-site\r\n", 403},
		{"an address that was typed", "GET", "/", "Sec-Fetch-Site: none\r\n" + firefox, 200},
		{"a link of the first page", "GET", "/debug/pprof/goroutine?debug=1", "Sec-Fetch-Site: same-origin\r\n" + firefox, 200},
		{"a page that wants a garbage collection", "GET", "/debug/pprof/heap?gc=1", "Sec-Fetch-Site: cross-site\r\n" + firefox, 403},
		{"two words", "GET", "/healthz", "Sec-Fetch-Site: none\r\nSec-Fetch-Site: cross-site\r\n", 403},
		{"an unknown word", "GET", "/healthz", "Sec-Fetch-Site: galaxy\r\n", 403},
		{"another origin", "GET", "/healthz", "Origin: http://evil.example\r\n", 403},
		{"no origin at all", "GET", "/healthz", "Origin: null\r\n", 403},
		{"its own origin", "GET", "/healthz", "Origin: http://" + host + "\r\n", 200},
		{"an old browser, a profile", "GET", "/debug/pprof/profile?seconds=1", firefox, 403},
		{"an old browser, a garbage collection", "GET", "/debug/pprof/heap?gc=1", firefox, 403},
		{"nothing said", "GET", "/debug/pprof/heap?gc=1", "", 403},
		{"a program, a profile", "GET", "/debug/pprof/goroutine", "User-Agent: curl/8.0\r\n", 200},
		{"a program, a garbage collection", "GET", "/debug/pprof/heap?gc=1", "User-Agent: curl/8.0\r\n", 200},
		{"the header", "GET", "/debug/pprof/heap?gc=1", "X-Outcry-Operator: 1\r\n", 200},
		{"the header, another site", "GET", "/debug/pprof/heap?gc=1", "X-Outcry-Operator: 1\r\nSec-Fetch-Site: cross-site\r\n", 403},
		{"an old browser's form", "POST", "/change", firefox + "Content-Length: 0\r\n", 403},
		{"the program's own request", "POST", "/change", "User-Agent: Go-http-client/1.1\r\nContent-Length: 0\r\n", 200},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := dial(t, l)
			request := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", test.method, test.path, host, test.header)
			if answer := answerTo(t, send(t, c, request)); answer.StatusCode != test.want {
				t.Errorf("status %d, want %d: %s", answer.StatusCode, test.want, strings.TrimSpace(request))
			}
		})
	}
}
