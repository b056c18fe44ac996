package web

import (
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
)

var pages = fstest.MapFS{
	"index.html":            {Data: []byte("<!doctype html>plain")},
	"index.html.br":         {Data: []byte("brotli")},
	"index.html.gz":         {Data: []byte("gzipped")},
	"assets/main-ABC.js":    {Data: []byte("js")},
	"assets/main-ABC.js.gz": {Data: []byte("js gzipped")},
	"icon.svg":              {Data: []byte("<svg/>")},
}

func ask(t *testing.T, root fs.FS, method, path string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	newHandler(root).ServeHTTP(w, r)
	return w.Result()
}

func text(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestServe(t *testing.T) {
	const forEver = "public, max-age=31536000, immutable"
	for name, c := range map[string]struct {
		method, path, accept         string
		status                       int
		body, kind, encoding, caches string
	}{
		"root":            {"GET", "/", "", 200, "<!doctype html>plain", "text/html; charset=utf-8", "", "no-cache"},
		"brotli first":    {"GET", "/", "gzip, deflate, br", 200, "brotli", "text/html; charset=utf-8", "br", "no-cache"},
		"gzip":            {"GET", "/", "gzip", 200, "gzipped", "text/html; charset=utf-8", "gzip", "no-cache"},
		"brotli refused":  {"GET", "/", "br;q=0, gzip;q=0.5", 200, "gzipped", "text/html; charset=utf-8", "gzip", "no-cache"},
		"hashed":          {"GET", "/assets/main-ABC.js", "", 200, "js", "text/javascript; charset=utf-8", "", forEver},
		"hashed, gzip":    {"GET", "/assets/main-ABC.js", "br, gzip", 200, "js gzipped", "text/javascript; charset=utf-8", "gzip", forEver},
		"not compressed":  {"GET", "/icon.svg", "br, gzip", 200, "<svg/>", "image/svg+xml", "", "no-cache"},
		"head":            {"HEAD", "/", "", 200, "", "text/html; charset=utf-8", "", "no-cache"},
		"missing":         {"GET", "/nothing", "", 404, "no such page; the dashboard is at /\n", "text/plain; charset=utf-8", "", ""},
		"an encoding":     {"GET", "/index.html.br", "", 404, "no such page; the dashboard is at /\n", "text/plain; charset=utf-8", "", ""},
		"outside":         {"GET", "/../web.go", "", 404, "no such page; the dashboard is at /\n", "text/plain; charset=utf-8", "", ""},
		"not for writing": {"POST", "/", "", 405, "method not allowed: these are pages, use GET\n", "text/plain; charset=utf-8", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := ask(t, pages, c.method, c.path, "Accept-Encoding", c.accept)
			got := [...]any{r.StatusCode, text(t, r), r.Header.Get("Content-Type"), r.Header.Get("Content-Encoding"), r.Header.Get("Cache-Control")}
			want := [...]any{c.status, c.body, c.kind, c.encoding, c.caches}
			if got != want {
				t.Errorf("got  %q\nwant %q", got, want)
			}
		})
	}
}

func TestNotModified(t *testing.T) {
	first := ask(t, pages, "GET", "/", "Accept-Encoding", "gzip")
	etag := first.Header.Get("ETag")
	if etag == "" || first.Header.Get("Vary") != "Accept-Encoding" {
		t.Fatalf("etag %q, vary %q", etag, first.Header.Get("Vary"))
	}
	again := ask(t, pages, "GET", "/", "Accept-Encoding", "gzip", "If-None-Match", `"other", W/`+etag)
	if again.StatusCode != http.StatusNotModified || text(t, again) != "" {
		t.Errorf("status %d, want 304 without a body", again.StatusCode)
	}
	plain := ask(t, pages, "GET", "/", "If-None-Match", etag)
	if plain.StatusCode != http.StatusOK {
		t.Errorf("another encoding has the same etag: status %d", plain.StatusCode)
	}
}

func TestUnbuilt(t *testing.T) {
	r := ask(t, fstest.MapFS{"README.txt": {Data: []byte("kept")}}, "GET", "/")
	body := text(t, r)
	if r.StatusCode != http.StatusOK || !strings.Contains(body, "make web") || !strings.Contains(body, "npm ci") {
		t.Errorf("status %d, body %q", r.StatusCode, body)
	}
	if strings.Contains(body, "<style") || strings.Contains(body, "<script") {
		t.Error("the page needs what the content security policy may forbid")
	}
}

func TestHandler(t *testing.T) {
	w := httptest.NewRecorder()
	Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/", nil))
	said := strings.Contains(w.Body.String(), "not in this program")
	if w.Code != http.StatusOK || said == Built() {
		t.Errorf("status %d; built %v, but says it is not: %v", w.Code, Built(), said)
	}
}
