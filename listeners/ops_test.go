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
