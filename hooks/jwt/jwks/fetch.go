package jwks

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	maxRedirects   = 3
	maxHeaderBytes = 64 << 10 // of a response
)

// CheckURL returns an error if a key set must not be fetched from a URL.
func CheckURL(text string, allowHTTP bool) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return errors.New("is not a URL such as https://id.example.com/keys")
	}
	if u.User != nil {
		return errors.New("has a user name or password; remove it, as a key set is public")
	}
	return checkScheme(u, allowHTTP)
}

func checkScheme(u *url.URL, allowHTTP bool) error {
	switch {
	case u.Scheme == "https", u.Scheme == "http" && (allowHTTP || isLoopback(u.Hostname())):
		return nil
	case u.Scheme == "http":
		return errors.New("uses http, so a man in the middle could forge tokens; use https")
	}
	return fmt.Errorf("is %q; use https", truncate(u.Scheme))
}

func isLoopback(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

// failure is an error of a fetch, with its result for the counters.
type failure struct {
	result result
	error
}

func (f *failure) Unwrap() error { return f.error }

func failed(r result, format string, args ...any) error {
	return &failure{r, fmt.Errorf(format, args...)}
}

// newClient returns a client without keep-alive, as fetches are rare.
func newClient(o *Options) *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableKeepAlives = true
	transport.MaxResponseHeaderBytes = maxHeaderBytes
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	if o.TLS != nil {
		transport.TLSClientConfig = o.TLS.Clone()
	}
	fromHTTP := strings.HasPrefix(strings.ToLower(o.URL), "http:")
	return &http.Client{Transport: transport, CheckRedirect: func(next *http.Request, via []*http.Request) error {
		if len(via) > maxRedirects {
			return failed(resultRedirect, "redirects more than %d times", maxRedirects)
		}
		if next.URL.Scheme == "http" && !fromHTTP {
			return failed(resultRedirect, "redirects from https to http")
		}
		if err := checkScheme(next.URL, o.AllowHTTP); err != nil {
			return failed(resultRedirect, "redirects to a URL that %w", err)
		}
		return nil
	}}
}

// answer is the source's response.
type answer struct {
	unchanged bool // the set with r.etag is current
	text      []byte
	etag      string
	maxAge    time.Duration // freshness lifetime by the response's header; negative: not given
}

// fetch requests the set, within the limits of time and size.
func (r *Remote) fetch(ctx context.Context) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, r.options.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.options.URL, nil)
	if err != nil {
		return answer{}, failed(resultConnect, "create the request: %w", err)
	}
	request.Header.Set("Accept", "application/jwk-set+json, application/json")
	if r.etag != "" {
		request.Header.Set("If-None-Match", r.etag)
	}
	response, err := r.client.Do(request)
	if err != nil {
		return answer{}, r.broken(err)
	}
	defer response.Body.Close()
	a := answer{etag: response.Header.Get("ETag"), maxAge: maxAge(response.Header)}
	switch {
	case response.StatusCode == http.StatusNotModified && r.etag != "":
		a.unchanged = true
		return a, nil
	case response.StatusCode != http.StatusOK:
		return answer{}, failed(resultStatus, "the server answered with status %d", response.StatusCode)
	}
	a.text, err = io.ReadAll(io.LimitReader(response.Body, MaxBytes+1))
	if err == nil {
		err = ctx.Err() // after a cancellation a truncated response may look complete
	}
	if err != nil {
		return answer{}, r.broken(err)
	}
	if len(a.text) > MaxBytes {
		return answer{}, failed(resultTooLarge, "the answer is larger than %d bytes", MaxBytes)
	}
	return a, nil
}

// broken gives a connection's error its result.
func (r *Remote) broken(err error) error {
	if _, known := errors.AsType[*failure](err); known {
		return err
	}
	if slow, ok := errors.AsType[net.Error](err); ok && slow.Timeout() {
		return failed(resultTimeout, "no complete answer within %v", r.options.Timeout)
	}
	return failed(resultConnect, "%w", err)
}

func (r *Remote) parse(a answer) (Set, error) {
	set, err := Parse(a.text, "key set "+r.options.URL, false)
	if err != nil {
		return Set{}, failed(resultNoKeys, "the answer %w", err)
	}
	return set, nil
}
