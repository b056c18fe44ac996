package listeners

import (
	"net/http"
	"strings"
	"testing"
)

// FuzzOrigin looks for an accepted header that is not one of the allowed origins.
func FuzzOrigin(f *testing.F) {
	addCorpus(f)
	for _, seed := range []string{
		"https://x.b.com", "https://b.com", "http://a.com:8083", "HTTPS://X.B.COM:443", "https://evil.com#.b.com",
		"https://evil.com/.b.com", "https://u@.b.com", "https://evil.com\\.b.com", "https://[::1]", "null", "",
		"https://x.b.com:", "http://a.com:8083:", "https://[::1%25.b.com]", "https://x%E3%80%82.b.com",
	} {
		f.Add(seed)
	}
	list, err := parseOrigins([]string{"self", "https://*.b.com"}, "origins")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, header string) {
		r := &http.Request{Host: "a.com:8083", Header: http.Header{"Origin": {header}}}
		if !list.allow(r) {
			return
		}
		plain := strings.ToLower(header)
		subdomain := strings.HasSuffix(strings.TrimSuffix(plain, ":443"), ".b.com") && strings.HasPrefix(plain, "https://")
		if !strings.HasSuffix(plain, "://a.com:8083") && !subdomain {
			t.Errorf("%q is allowed", header)
		}
	})
}
