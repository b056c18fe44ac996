package listeners_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/listeners"
)

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
