package store

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker/storage"
	"github.com/outcry-mqtt/outcry/cmd/outcry/outcrytest"
	"github.com/outcry-mqtt/outcry/hooks/boltstore"
)

// serveStore serves a store of some bytes like a broker.
func serveStore(t *testing.T, size int) (*Service, string) {
	t.Helper()
	store, err := boltstore.Open(boltstore.Options{Path: filepath.Join(t.TempDir(), File), MaxPendingBytes: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	committed := make(chan error, 1)
	op := storage.Op{Space: storage.SpaceNotes, Key: "large", Value: bytes.Repeat([]byte("v"), size)}
	store.Commit([]storage.Op{op}, func(err error) { committed <- err })
	if err := <-committed; err != nil {
		t.Fatal(err)
	}
	s := NewService(store, noSession, slog.New(slog.DiscardHandler))
	mux := http.NewServeMux()
	for pattern, h := range s.Handlers() {
		mux.Handle(pattern, h)
	}
	server := httptest.NewServer(mux)
	t.Cleanup(func() {
		s.Stop()
		server.Close()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, server.URL
}

func noSession(context.Context, string) error { return storage.ErrNoSession }

func askStore(t *testing.T, method, url, key string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		r.Header.Set(keyHeader, key)
	}
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { answer.Body.Close(); http.DefaultTransport.(*http.Transport).CloseIdleConnections() })
	return answer
}

func TestStoreServesWhoShowsTheKey(t *testing.T) {
	s, url := serveStore(t, 1)
	for _, test := range []struct {
		method, path, key string
		status            int
	}{
		{"GET", "/store/backup", "", 403},
		{"GET", "/store/backup", "wrong", 403},
		{"GET", "/store/backup", s.Key, 200},
		{"POST", "/store/compact", "", 403}, // like a web page
		{"GET", "/store/compact", s.Key, 405},
		{"POST", "/store/compact", s.Key, 200},
		{"POST", "/store/check", "", 403},
		{"POST", "/store/check", s.Key, 200},
		{"POST", "/store/stats", s.Key, 200},
		{"POST", "/store/drop-session?client=a", "", 403},
		{"GET", "/store/drop-session?client=a", s.Key, 405},
		{"POST", "/store/drop-session?client=a", s.Key, 200},
	} {
		answer := askStore(t, test.method, url+test.path, test.key)
		text, err := io.ReadAll(answer.Body)
		if answer.StatusCode != test.status || err != nil {
			t.Errorf("%s %s with %q: status %d, want %d: %s, %v", test.method, test.path, test.key, answer.StatusCode, test.status, text, err)
		}
		if origin := answer.Header.Get("Access-Control-Allow-Origin"); origin != "" {
			t.Errorf("%s lets %s read it", test.path, origin)
		}
	}
}

// TestStoreServesOneAtATime leaves a backup unread, and stops the broker meanwhile.
func TestStoreServesOneAtATime(t *testing.T) {
	s, url := serveStore(t, 64<<20)
	first := askStore(t, "GET", url+"/store/backup", s.Key)
	second := askStore(t, "POST", url+"/store/check", s.Key)
	text, _ := io.ReadAll(second.Body)
	if second.StatusCode != http.StatusConflict || !strings.Contains(string(text), "try again when it has ended") {
		t.Errorf("status %d: %s", second.StatusCode, text)
	}
	first.Body.Close() // the caller disconnects
	waitUntilFree(t, s)
	third := askStore(t, "GET", url+"/store/backup", s.Key)
	s.Stop()
	waitUntilFree(t, s)
	if n, err := io.Copy(io.Discard, third.Body); err == nil {
		t.Errorf("the backup of %d bytes looks whole with %d", third.ContentLength, n)
	}
}

func waitUntilFree(t *testing.T, s *Service) {
	t.Helper()
	select {
	case s.busy <- struct{}{}:
		<-s.busy
	case <-time.After(outcrytest.WaitLimit):
		t.Fatal("it is still at work")
	}
}
