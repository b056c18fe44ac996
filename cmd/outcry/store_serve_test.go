package main

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/hooks/boltstore"
)

// serveStore serves a store of some bytes as a broker would.
func serveStore(t *testing.T, size int) (*storeService, string) {
	t.Helper()
	store, err := boltstore.Open(boltstore.Options{Path: filepath.Join(t.TempDir(), storeFile), MaxPendingBytes: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	committed := make(chan error, 1)
	op := broker.Op{Space: broker.SpaceNotes, Key: "large", Value: bytes.Repeat([]byte("v"), size)}
	store.Commit([]broker.Op{op}, func(err error) { committed <- err })
	if err := <-committed; err != nil {
		t.Fatal(err)
	}
	s := newStoreService(store, slog.New(slog.DiscardHandler))
	mux := http.NewServeMux()
	for pattern, h := range s.handlers() {
		mux.Handle(pattern, h)
	}
	server := httptest.NewServer(mux)
	t.Cleanup(func() {
		s.stop()
		server.Close()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, server.URL
}

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
		{"GET", "/store/backup", s.key, 200},
		{"POST", "/store/compact", "", 403}, // as a page of the web could
		{"GET", "/store/compact", s.key, 405},
		{"POST", "/store/compact", s.key, 200},
		{"POST", "/store/check", "", 403},
		{"POST", "/store/check", s.key, 200},
		{"POST", "/store/stats", s.key, 200},
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

// TestStoreServesOneAtATime leaves a backup unread, and lets the broker stop while nobody reads it.
func TestStoreServesOneAtATime(t *testing.T) {
	s, url := serveStore(t, 64<<20)
	first := askStore(t, "GET", url+"/store/backup", s.key)
	second := askStore(t, "POST", url+"/store/check", s.key)
	text, _ := io.ReadAll(second.Body)
	if second.StatusCode != http.StatusConflict || !strings.Contains(string(text), "try again when it has ended") {
		t.Errorf("status %d: %s", second.StatusCode, text)
	}
	first.Body.Close() // the caller goes
	waitUntilFree(t, s)
	third := askStore(t, "GET", url+"/store/backup", s.key)
	s.stop()
	waitUntilFree(t, s)
	if n, err := io.Copy(io.Discard, third.Body); err == nil {
		t.Errorf("the backup of %d bytes looks whole with %d", third.ContentLength, n)
	}
}

func waitUntilFree(t *testing.T, s *storeService) {
	t.Helper()
	select {
	case s.busy <- struct{}{}:
		<-s.busy
	case <-time.After(patience):
		t.Fatal("it is still at work")
	}
}
