package store

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
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

// connectPersistent connects a client with a durable session.
func connectPersistent(t *testing.T, address, id string) mqtt.Client {
	t.Helper()
	o := mqtt.NewClientOptions().AddBroker("tcp://"+address).SetConnectTimeout(outcrytest.WaitLimit).SetClientID(id).SetCleanSession(false).
		SetAutoReconnect(false).SetWill("status/"+id, "gone", 1, false)
	c := mqtt.NewClient(o)
	if token := c.Connect(); !token.WaitTimeout(outcrytest.WaitLimit) || token.Error() != nil {
		t.Fatal("not connected: ", token.Error())
	}
	if token := c.Subscribe("$share/g/status/#", 1, nil); !token.WaitTimeout(outcrytest.WaitLimit) || token.Error() != nil {
		t.Fatal("not subscribed: ", token.Error())
	}
	return c
}

// TestStoreDropSession drops sessions from the store of a running broker, and of a stopped one.
func TestStoreDropSession(t *testing.T) {
	p := outcrytest.StartServe(t, t.TempDir(), "--open")
	data := filepath.Join(p.Cmd.Dir, "data")
	path := filepath.Join(data, File)
	for _, id := range []string{"one", "two", "-x ü"} {
		defer connectPersistent(t, p.Addresses["tcp"], id).Disconnect(0)
	}
	drop := func(status int, says string, args ...string) {
		t.Helper()
		got, stdout, stderr := outcrytest.Call(t, "", append([]string{"store", "drop-session"}, args...)...)
		if got != status || !strings.Contains(stdout+stderr, says) {
			t.Errorf("%q: status %d, want %d with %q:\n%s%s", args, got, status, says, stdout, stderr)
		}
		if got, stdout, stderr := outcrytest.Call(t, "", "store", "check", data); got != 0 {
			t.Errorf("check: status %d\n%s%s", got, stdout, stderr)
		}
	}
	drop(0, path+`: session "one" dropped`, "one", "--data", data)
	drop(1, `session "one" not dropped: the store has no session of this client identifier`, "one", "--data", data)
	p.Stop()
	drop(0, path+`: session "-x ü" dropped`, "--data", data, "--", "-x ü")
	drop(1, `session "one" not dropped: the store has no session of this client identifier`, "one", "--data", data)
	drop(2, "write outcry store drop-session CLIENT-ID\nsee outcry store drop-session --help", "--data", data)
	drop(2, "write outcry store drop-session CLIENT-ID", "one", "two")
	drop(2, "write outcry store drop-session CLIENT-ID", "")
	drop(2, "unknown shorthand flag", "-x ü")
	if got := loadStore(t, path, storage.SpaceSessions); len(got) != 1 || got["two"] == "" {
		t.Errorf("there are sessions %q", got)
	}
	if got := loadStore(t, path, storage.SpaceSubscriptions); len(got) != 1 {
		t.Errorf("there are subscriptions %q", got)
	}
	missing := t.TempDir()
	status, _, stderr := outcrytest.Call(t, "", "store", "drop-session", "one", "--data", missing)
	if names, err := os.ReadDir(missing); status != 1 || !strings.Contains(stderr, "no such file") || err != nil || len(names) > 0 {
		t.Errorf("without a store: status %d, %s; %v, %v", status, stderr, names, err)
	}
}
