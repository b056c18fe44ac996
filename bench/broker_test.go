package bench_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/bench"
	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/devices"
	"github.com/outcry-mqtt/outcry/hooks/anonymous"
	"github.com/outcry-mqtt/outcry/listeners"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// endpoints are the URLs of a broker by scheme, and the TLS configuration of its clients.
type endpoints struct {
	urls map[string]string
	tls  *tls.Config
}

// tickers is the queue policy of topics below ticker/: conflate.
type tickers struct{}

func (tickers) QueuePolicy(topic string) broker.QueuePolicy {
	if strings.HasPrefix(topic, "ticker/") {
		return broker.Conflate
	}
	return broker.DropOldest
}

// startBroker starts a broker without authentication, with a listener of each kind.
func startBroker(t *testing.T) endpoints {
	t.Helper()
	b, err := broker.New(broker.Options{Hooks: []any{anonymous.Authenticator{}, tickers{}}})
	if err != nil {
		t.Fatal(err)
	}
	server, client := certificate(t)
	path := filepath.Join(t.TempDir(), "s")
	e := endpoints{urls: map[string]string{"unix": "unix://" + path}, tls: client}
	ls := map[string]listeners.Listener{
		"mqtt":  must[*listeners.TCP](t)(listeners.ListenTCP(listeners.TCPOptions{Address: "127.0.0.1:0", Attacher: b})),
		"mqtts": must[*listeners.TCP](t)(listeners.ListenTCP(listeners.TCPOptions{Address: "127.0.0.1:0", Attacher: b, TLS: server})),
		"ws":    must[*listeners.WebSocket](t)(listeners.ListenWebSocket(listeners.WebSocketOptions{Address: "127.0.0.1:0", Attacher: b})),
		"wss":   must[*listeners.WebSocket](t)(listeners.ListenWebSocket(listeners.WebSocketOptions{Address: "127.0.0.1:0", Attacher: b, TLS: server})),
		"unix":  must[*listeners.Unix](t)(listeners.ListenUnix(listeners.UnixOptions{Path: path, Attacher: b})),
	}
	var running sync.WaitGroup
	running.Go(func() {
		if err := b.Run(context.Background()); err != nil && !errors.Is(err, broker.ErrClosed) { // the test ended before it ran
			t.Error("broker:", err)
		}
	})
	for scheme, l := range ls {
		if scheme != "unix" {
			e.urls[scheme] = scheme + "://" + l.Addr().String()
		}
		running.Go(func() { _ = l.Serve() })
	}
	t.Cleanup(func() {
		for _, l := range ls {
			l.Close()
		}
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := b.Shutdown(ctx); err != nil {
			t.Error("broker:", err)
		}
		running.Wait()
	})
	return e
}

func must[T any](t *testing.T) func(T, error) T {
	return func(x T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
}

// certificate returns a server's TLS configuration for 127.0.0.1, and a client's that trusts it.
func certificate(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return &tls.Config{Certificates: s.TLS.Certificates}, &tls.Config{RootCAs: roots}
}

func brokerURL(t *testing.T, raw string) *url.URL {
	t.Helper()
	return must[*url.URL](t)(devices.ParseURL(raw))
}

// run runs a scenario that must complete.
func run(t *testing.T, o bench.Options) *bench.Report {
	t.Helper()
	if o.Drain == 0 {
		o.Drain = 30 * time.Second // a busy machine may pause for long
	}
	report, err := bench.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return report
}
