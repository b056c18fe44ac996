package listeners

import (
	"net/http"
	"net/url"
	"strings"
)

// operatorHeader in a request, with any value, shows that no page of another site has sent it: a browser lets a page
// add such a header only if the server agrees first (CORS), and this one never does.
const operatorHeader = "X-Outcry-Operator"

const crossSiteText = "pages of other sites may not ask for this"

const noHeaderText = "this could have been sent by a page of another site; send it with the header " + operatorHeader + ": 1"

// withoutOtherSites refuses requests of other sites' pages. On loopback there may be no token, and the visitor's
// browser sends a page's GET requests although the page cannot read the answer. The browser's own headers decide
// (Fetch Metadata). Expensive or state-changing requests also need a header that no such page can send, for browsers
// without that metadata.
func withoutOtherSites(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case fromOtherSite(r):
			http.Error(w, crossSiteText, http.StatusForbidden)
		case !isCheap(r.URL.Path) && !isOperators(r):
			http.Error(w, noHeaderText, http.StatusForbidden)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// fromOtherSite reports whether a browser marks a request as sent by a page of another site, or of another port of
// this host.
func fromOtherSite(r *http.Request) bool {
	for _, site := range r.Header.Values("Sec-Fetch-Site") {
		if site != "same-origin" && site != "none" {
			return true
		}
	}
	for _, origin := range r.Header.Values("Origin") {
		if u, err := url.Parse(origin); err != nil || u.Host == "" || !strings.EqualFold(u.Host, r.Host) {
			return true
		}
	}
	return false
}

// isCheap reports whether any page may request a path.
func isCheap(path string) bool {
	switch path {
	case "/", "/metrics", "/healthz", "/readyz", "/debug/pprof/":
		return true
	}
	return false
}

// isOperators reports whether a request has a header that another site's page cannot send. Such pages cannot choose
// the User-Agent either, so one that no browser has is enough: that of curl, or of go tool pprof, which cannot add
// headers.
func isOperators(r *http.Request) bool {
	if r.Header.Get("Sec-Fetch-Site") != "" || r.Header.Get(operatorHeader) != "" || r.Header.Get("Authorization") != "" {
		return true // fromOtherSite has checked the first one's value
	}
	agent := r.UserAgent()
	return agent != "" && !strings.HasPrefix(agent, "Mozilla/")
}
