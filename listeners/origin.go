package listeners

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// origins is a list of the web origins (RFC 6454) whose pages may open a WebSocket.
type origins []origin

// origin is one entry of the list. Host is in lower case; port is empty for the scheme's default.
type origin struct {
	any, self, null bool

	scheme, host, port string
	subdomains         bool // host begins with a dot and matches every suffix
	anyPort            bool
}

// parseOrigins parses a list of "self", "*", "null", "https://app.example.com", "https://*.example.com",
// "http://localhost:*", and origins of apps such as "capacitor://localhost" and "file://"; nil means "self".
func parseOrigins(list []string, key string) (origins, error) {
	if list == nil {
		list = []string{"self"}
	}
	var parsed origins
	for i, text := range list {
		o, err := parseEntry(text)
		if err != nil {
			return nil, fmt.Errorf("%s[%d]: %q %w; write an origin such as https://app.example.com, self or *", key, i, text, err)
		}
		parsed = append(parsed, o)
	}
	return parsed, nil
}

func parseEntry(text string) (origin, error) {
	switch text {
	case "*":
		return origin{any: true}, nil
	case "self":
		return origin{self: true}, nil
	case "null":
		return origin{null: true}, nil
	}
	text, anyPort := strings.CutSuffix(text, ":*")
	o, err := parseOrigin(text)
	if err != nil {
		return origin{}, err
	}
	if o.host == "" && anyPort {
		return origin{}, fmt.Errorf("has a port without a host")
	}
	o.anyPort = anyPort
	if rest, found := strings.CutPrefix(o.host, "*"); found {
		o.host, o.subdomains = rest, true
	}
	if strings.Contains(o.host, "*") || o.subdomains && !strings.HasPrefix(o.host, ".") {
		return origin{}, fmt.Errorf("has a * that is not the whole first label")
	}
	return o, nil
}

// parseOrigin parses scheme://host[:port], the form of an Origin header. An app's scheme may lack a host: file pages
// of Cordova and Electron have the origin file://.
func parseOrigin(text string) (origin, error) {
	u, err := url.Parse(text)
	if err != nil {
		return origin{}, fmt.Errorf("is not an origin")
	}
	if u.Scheme == "" || u.Hostname() == "" && (u.Host != "" || isWebScheme(u.Scheme) || !strings.HasSuffix(text, "://")) {
		return origin{}, fmt.Errorf("is not an origin: it has no scheme or no host")
	}
	if u.User != nil || u.Path != "" || u.RawQuery != "" || u.ForceQuery || strings.Contains(text, "#") {
		return origin{}, fmt.Errorf("has more than scheme, host and port")
	}
	if strings.HasSuffix(text, ":") {
		return origin{}, fmt.Errorf("has a colon without a port")
	}
	if strings.Contains(text, "%") {
		return origin{}, fmt.Errorf("has a %%, which is not allowed in an origin")
	}
	o := origin{scheme: strings.ToLower(u.Scheme), host: strings.ToLower(u.Hostname())}
	if port := u.Port(); port != defaultPort(o.scheme) {
		o.port = port
	}
	return o, nil
}

// isWebScheme reports whether pages of a scheme come from a network host.
func isWebScheme(scheme string) bool { return defaultPort(strings.ToLower(scheme)) != "" }

func defaultPort(scheme string) string {
	switch scheme {
	case "http", "ws":
		return "80"
	case "https", "wss":
		return "443"
	}
	return ""
}

// allow checks a request's Origin. A request without that header is not a browser's, and allowed.
func (list origins) allow(r *http.Request) bool {
	headers := r.Header["Origin"]
	if len(headers) == 0 {
		return true
	}
	if len(headers) > 1 {
		return false
	}
	from, err := parseOrigin(headers[0])
	for _, o := range list {
		if o.any || o.null && headers[0] == "null" {
			return true
		}
		if err == nil && (o.self && from.sameHost(r.Host) || o.matches(from)) {
			return true
		}
	}
	return false
}

// matches reports whether the entry o matches the origin from.
func (o origin) matches(from origin) bool {
	if o.scheme != from.scheme || o.port != from.port && !o.anyPort {
		return false
	}
	if o.subdomains {
		return strings.HasSuffix(from.host, o.host) && len(from.host) > len(o.host)
	}
	return o.host == from.host
}

// sameHost compares with a Host header. It does not compare web schemes: a proxy in front may terminate TLS. An app's
// host, such as localhost of capacitor://localhost, is not a network host.
func (o origin) sameHost(host string) bool {
	if !isWebScheme(o.scheme) {
		return false
	}
	port := ""
	if h, p, err := net.SplitHostPort(host); err == nil {
		host, port = h, p
	}
	if port == defaultPort(o.scheme) {
		port = ""
	}
	return o.port == port && o.host == strings.ToLower(strings.Trim(host, "[]"))
}
