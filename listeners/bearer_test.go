package listeners_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/listeners"
)

const opsToken = "0123456789abcdef0123456789abcdef"

// tokenFile writes a token file.
func tokenFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	writeFile(t, file, []byte(text+"\n"))
	return file
}

func withBearer(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }

func TestOpsToken(t *testing.T) {
	for name, test := range map[string]struct {
		path   string
		header http.Header
		want   int
	}{
		"right":                 {"/metrics", withBearer(opsToken), 200},
		"right, case of scheme": {"/metrics", http.Header{"Authorization": {"bearer " + opsToken}}, 200},
		"profiles":              {"/debug/pprof/cmdline", withBearer(opsToken), 200},
		"none":                  {"/metrics", nil, 401},
		"none for profiles":     {"/debug/pprof/cmdline", nil, 401},
		"none for the index":    {"/", nil, 401},
		"none for what is not":  {"/other", nil, 401},
		"a longer path":         {"/healthz/../metrics", nil, 401},
		"health":                {"/healthz", nil, 200},
		"ready":                 {"/readyz", nil, 200},
		"wrong":                 {"/metrics", withBearer(opsToken[1:] + "x"), 401},
		"a beginning":           {"/metrics", withBearer(opsToken[:31]), 401},
		"empty":                 {"/metrics", withBearer(""), 401},
		"another scheme":        {"/metrics", http.Header{"Authorization": {"Basic " + opsToken}}, 401},
		"two":                   {"/metrics", http.Header{"Authorization": {"Bearer " + opsToken, "Bearer " + opsToken}}, 401},
		"in the query":          {"/metrics?access_token=" + opsToken, nil, 401},
	} {
		t.Run(name, func(t *testing.T) {
			metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "outcry_up 1") })
			l := listenOps(t, listeners.OpsOptions{Metrics: metrics, TokenFile: tokenFile(t, opsToken)})
			answer, text := ask(t, l, test.path, test.header)
			if answer.StatusCode != test.want || strings.Contains(text, opsToken) {
				t.Errorf("answer is %d %s, want %d", answer.StatusCode, text, test.want)
			}
			if asks := answer.Header.Get("WWW-Authenticate") != ""; asks != (test.want == 401) {
				t.Errorf("WWW-Authenticate is %q", answer.Header.Get("WWW-Authenticate"))
			}
			if n := l.Refused(); (n == 1) != (test.want == 401) || n > 1 {
				t.Errorf("%d were counted as refused", n)
			}
		})
	}
}

// After too many wrong tokens, even the right one is refused for a while; health checks are always answered.
func TestOpsGuessing(t *testing.T) {
	l := listenOps(t, listeners.OpsOptions{TokenFile: tokenFile(t, opsToken)})
	for i := range 10 {
		if answer, _ := ask(t, l, "/", withBearer(fmt.Sprint(i))); answer.StatusCode != 401 {
			t.Fatalf("guess %d got %d", i, answer.StatusCode)
		}
	}
	for _, token := range []string{"another", opsToken} {
		if answer, _ := ask(t, l, "/", withBearer(token)); answer.StatusCode != 429 || answer.Header.Get("Retry-After") == "" {
			t.Errorf("after ten guesses the answer is %d", answer.StatusCode)
		}
	}
	if answer, _ := ask(t, l, "/healthz", nil); answer.StatusCode != 200 {
		t.Errorf("health is %d", answer.StatusCode)
	}
	if n := l.Refused(); n != 12 {
		t.Errorf("%d were counted as refused, want 12", n)
	}
}

func TestOpsTokenReload(t *testing.T) {
	file := tokenFile(t, opsToken)
	l := listenOps(t, listeners.OpsOptions{TokenFile: file})
	status := func(token string) int {
		answer, _ := ask(t, l, "/", withBearer(token))
		return answer.StatusCode
	}
	next := strings.Repeat("next", 10)
	writeFile(t, file, []byte(next))
	if err := l.ReloadToken(); err != nil {
		t.Fatal(err)
	}
	if now, before := status(next), status(opsToken); now != 200 || before != 401 {
		t.Errorf("the new token gets %d, the old one %d", now, before)
	}
	writeFile(t, file, []byte("short"))
	if err := l.ReloadToken(); err == nil || status(next) != 200 {
		t.Errorf("a broken file: %v, and the token gets %d", err, status(next))
	}
}

func TestBadOpsToken(t *testing.T) {
	open := tokenFile(t, opsToken)
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ file, want string }{
		"missing":        {"missing-token", "missing-token"},
		"others read it": {open, "run chmod 600"},
		"short":          {tokenFile(t, opsToken[1:]), "must hold one line of 32"},
		"long":           {tokenFile(t, strings.Repeat("x", 5000)), "must hold one line"},
		"two lines":      {tokenFile(t, opsToken+"\n"+opsToken), "must hold one line"},
		"a space":        {tokenFile(t, opsToken+" x"), "must hold one line"},
		"a mark":         {tokenFile(t, "\xef\xbb\xbf"+opsToken), "must hold one line"},
		"empty":          {tokenFile(t, ""), "must hold one line"},
		"one letter":     {tokenFile(t, strings.Repeat("0", 64)), "can be guessed"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := listeners.ListenOps(listeners.OpsOptions{Address: "127.0.0.1:0", TokenFile: test.file})
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "http.token_file") {
				t.Errorf("error is %v, want %s", err, test.want)
			}
			if err != nil && strings.Contains(err.Error(), opsToken) {
				t.Errorf("the error tells the token: %v", err)
			}
		})
	}
}
