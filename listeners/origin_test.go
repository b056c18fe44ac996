package listeners_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/listeners"
)

func TestWebSocketOrigins(t *testing.T) {
	for name, test := range map[string]struct {
		allowed []string // nil: the default
		host    string
		origin  []string
		want    bool
	}{
		"none sent":             {host: "a.com", want: true},
		"none sent, empty list": {allowed: []string{}, host: "a.com", want: true},
		"same":                  {host: "a.com", origin: []string{"http://a.com"}, want: true},
		"same in other case":    {host: "A.com", origin: []string{"http://a.COM"}, want: true},
		"same port":             {host: "a.com:8083", origin: []string{"http://a.com:8083"}, want: true},
		"same, default port":    {host: "a.com:80", origin: []string{"http://a.com"}, want: true},
		"same behind a proxy":   {host: "a.com", origin: []string{"https://a.com"}, want: true},
		"same IPv6":             {host: "[::1]:8083", origin: []string{"http://[::1]:8083"}, want: true},
		"other port":            {host: "a.com:8083", origin: []string{"http://a.com:3000"}},
		"other host":            {host: "a.com", origin: []string{"http://b.com"}},
		"subdomain":             {host: "a.com", origin: []string{"http://x.a.com"}},
		"suffix":                {host: "a.com", origin: []string{"http://evila.com"}},
		"user part":             {host: "a.com", origin: []string{"http://a.com@b.com"}},
		"null":                  {host: "a.com", origin: []string{"null"}},
		"empty":                 {host: "a.com", origin: []string{""}},
		"not an origin":         {host: "a.com", origin: []string{"a.com"}},
		"two headers":           {host: "a.com", origin: []string{"http://a.com", "http://b.com"}},
		"empty list":            {allowed: []string{}, host: "a.com", origin: []string{"http://a.com"}},

		"listed":                {allowed: []string{"https://b.com"}, host: "a.com", origin: []string{"https://b.com"}, want: true},
		"listed, default port":  {allowed: []string{"https://b.com:443"}, host: "a.com", origin: []string{"https://b.com"}, want: true},
		"listed, other scheme":  {allowed: []string{"https://b.com"}, host: "a.com", origin: []string{"http://b.com"}},
		"listed, other port":    {allowed: []string{"https://b.com"}, host: "a.com", origin: []string{"https://b.com:8443"}},
		"self is not listed":    {allowed: []string{"https://b.com"}, host: "a.com", origin: []string{"https://a.com"}},
		"self is listed":        {allowed: []string{"https://b.com", "self"}, host: "a.com", origin: []string{"https://a.com"}, want: true},
		"any":                   {allowed: []string{"*"}, host: "a.com", origin: []string{"https://b.com"}, want: true},
		"any, null":             {allowed: []string{"*"}, host: "a.com", origin: []string{"null"}, want: true},
		"null is listed":        {allowed: []string{"null"}, host: "a.com", origin: []string{"null"}, want: true},
		"app":                   {allowed: []string{"capacitor://localhost"}, host: "a.com", origin: []string{"capacitor://localhost"}, want: true},
		"file":                  {allowed: []string{"file://"}, host: "a.com", origin: []string{"file://"}, want: true},
		"file, null":            {allowed: []string{"file://"}, host: "a.com", origin: []string{"null"}},
		"file, other host":      {allowed: []string{"file://"}, host: "a.com", origin: []string{"file://b.com"}},
		"file, not listed":      {host: "a.com", origin: []string{"file://"}},
		"app without a host":    {allowed: []string{"app://"}, host: "a.com", origin: []string{"app://"}, want: true},
		"app with a dot":        {allowed: []string{"app://."}, host: "a.com", origin: []string{"app://."}, want: true},
		"app, other scheme":     {allowed: []string{"app://", "file://"}, host: "a.com", origin: []string{"http://"}},
		"app, not slashes":      {allowed: []string{"app://"}, host: "a.com", origin: []string{"app:"}},
		"app, web page":         {allowed: []string{"capacitor://localhost"}, host: "a.com", origin: []string{"http://localhost"}},
		"app, port":             {allowed: []string{"ionic://localhost"}, host: "a.com", origin: []string{"ionic://localhost:8100"}},
		"app, other host":       {allowed: []string{"tauri://localhost"}, host: "a.com", origin: []string{"tauri://b.com"}},
		"app of the same host":  {host: "localhost", origin: []string{"capacitor://localhost"}},
		"ionic":                 {allowed: []string{"ionic://localhost"}, host: "a.com", origin: []string{"ionic://localhost"}, want: true},
		"tauri":                 {allowed: []string{"tauri://localhost"}, host: "a.com", origin: []string{"tauri://localhost"}, want: true},
		"extension":             {allowed: []string{"chrome-extension://abcdef"}, host: "a.com", origin: []string{"chrome-extension://abcdef"}, want: true},
		"subdomains":            {allowed: []string{"https://*.b.com"}, host: "a.com", origin: []string{"https://x.b.com"}, want: true},
		"subdomains, deep":      {allowed: []string{"https://*.b.com"}, host: "a.com", origin: []string{"https://x.y.b.com"}, want: true},
		"subdomains, apex":      {allowed: []string{"https://*.b.com"}, host: "a.com", origin: []string{"https://b.com"}},
		"subdomains, suffix":    {allowed: []string{"https://*.b.com"}, host: "a.com", origin: []string{"https://evilb.com"}},
		"any port":              {allowed: []string{"http://localhost:*"}, host: "a.com", origin: []string{"http://localhost:5173"}, want: true},
		"any port, none":        {allowed: []string{"http://localhost:*"}, host: "a.com", origin: []string{"http://localhost"}, want: true},
		"any port, other host":  {allowed: []string{"http://localhost:*"}, host: "a.com", origin: []string{"http://b.com:5173"}},
		"any port of subdomain": {allowed: []string{"http://*.b.com:*"}, host: "a.com", origin: []string{"http://x.b.com:1"}, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			to := newTestAttacher()
			l := listenWS(t, listeners.WebSocketOptions{Attacher: to, Origins: test.allowed})
			h := http.Header{"Host": {test.host}}
			if test.origin != nil {
				h["Origin"] = test.origin
			}
			c, answer, text := open(t, l, "/mqtt", h, "mqtt")
			if test.want {
				if c == nil {
					t.Fatalf("refused: %d %s", answer.StatusCode, text)
				}
				to.next(t)
				return
			}
			if answer.StatusCode != http.StatusForbidden || !strings.Contains(text, "add the origin to listeners.ws.origins") {
				t.Errorf("answer is %d %s", answer.StatusCode, text)
			}
			to.wantNone(t)
		})
	}
}

func TestRefusedOriginIsLogged(t *testing.T) {
	var log logs
	l := listenWS(t, listeners.WebSocketOptions{Logger: log.logger()})
	open(t, l, "/mqtt", http.Header{"Origin": {"http://b.com"}}, "mqtt")
	if text := log.String(); !strings.Contains(text, "level=WARN") || !strings.Contains(text, "http://b.com") {
		t.Errorf("log is %q", text)
	}
}
