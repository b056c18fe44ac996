package denylist_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
	"github.com/outcry-mqtt/outcry/hooks/denylist"
)

func mustNew(t *testing.T, o denylist.Options) *denylist.List {
	t.Helper()
	l, err := denylist.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestAdmit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deny")
	write(t, path, "user ann\ntoken t-1\ntoken 77\nclient kiosk\nuser bob until 2026-01-01T00:00:00Z\n")
	now := time.Date(2025, 12, 31, 23, 59, 59, 0, time.UTC)
	l := mustNew(t, denylist.Options{Path: path, Now: func() time.Time { return now }})
	claims := func(jti any) map[string]any { return map[string]any{"jti": jti} }
	cases := []struct {
		name   string
		client broker.Client
		label  string
	}{
		{"user", broker.Client{ID: "x", Identity: &broker.Identity{User: "ann"}}, "denied_user"},
		{"token", broker.Client{ID: "x", Identity: &broker.Identity{User: "x", Claims: claims("t-1")}}, "denied_token"},
		{"token with a number", broker.Client{ID: "x", Identity: &broker.Identity{User: "x", Claims: claims(int64(77))}}, "denied_token"},
		{"client", broker.Client{ID: "kiosk", Identity: &broker.Identity{User: "x"}}, "denied_client"},
		{"until later", broker.Client{ID: "x", Identity: &broker.Identity{User: "bob"}}, "denied_user"},
		{"a client named as a user", broker.Client{ID: "ann", Identity: &broker.Identity{User: "kiosk"}}, ""},
		{"another token", broker.Client{ID: "x", Identity: &broker.Identity{User: "x", Claims: claims("t-2")}}, ""},
		{"token with a number as JSON has it", broker.Client{ID: "x", Identity: &broker.Identity{User: "x", Claims: claims(float64(77))}}, "denied_token"},
		{"a list for a token", broker.Client{ID: "x", Identity: &broker.Identity{User: "x", Claims: claims([]any{"t-1"})}}, ""},
		{"anonymous", broker.Client{ID: "x", Identity: &broker.Identity{}}, ""},
	}
	for _, tt := range cases {
		label := ""
		if r := l.Admit(&tt.client); r != nil {
			label = r.Label
		}
		if label != tt.label {
			t.Errorf("%s: %q, want %q", tt.name, label, tt.label)
		}
	}
	now = now.Add(time.Second)
	if r := l.Admit(&cases[4].client); r != nil {
		t.Errorf("refused for an entry that is over: %v", r)
	}
	s := l.Stats()
	if s.Refused[denylist.User] != 2 || s.Refused[denylist.Token] != 3 || s.Refused[denylist.Client] != 1 || s.Entries[denylist.User] != 2 {
		t.Errorf("%+v", s)
	}
}

func TestNewRefuses(t *testing.T) {
	dir := t.TempDir()
	if _, err := denylist.New(denylist.Options{Path: filepath.Join(dir, "none")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v, want that it is missing", err)
	}
	path := filepath.Join(dir, "deny")
	write(t, path, "nonsense\n")
	var bad *denylist.FileError
	if _, err := denylist.New(denylist.Options{Path: path}); !errors.As(err, &bad) {
		t.Errorf("%v, want a FileError", err)
	}
}

// logBuffer keeps the log's lines.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *logBuffer) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *logBuffer) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

func TestFileIsFollowed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deny")
	write(t, path, "")
	synctest.Test(t, func(t *testing.T) {
		log := &logBuffer{}
		l := mustNew(t, denylist.Options{Path: path, Logger: slog.New(slog.NewTextHandler(log, nil))})
		ctx, cancel := context.WithCancel(t.Context())
		var changes atomic.Int32
		var run sync.WaitGroup
		run.Go(func() { _ = l.Run(ctx, func() { changes.Add(1) }) })
		ann := &broker.Client{Identity: &broker.Identity{User: "ann"}}
		step := func(what string, denied bool, wantChanges int32) {
			t.Helper()
			time.Sleep(1100 * time.Millisecond)
			synctest.Wait()
			if got := l.Admit(ann) != nil; got != denied || changes.Load() != wantChanges {
				t.Errorf("%s: denied %v after %d changes, want %v and %d", what, got, changes.Load(), denied, wantChanges)
			}
		}
		step("empty", false, 0)
		if err := denylist.Add(path, denylist.Entry{Kind: denylist.User, Value: "ann"}); err != nil {
			t.Fatal(err)
		}
		step("added", true, 1)
		write(t, path, "nonsense\n")
		step("broken", true, 1)
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := strings.Count(log.String(), "deny file not read, the old entries stay"); n != 1 {
			t.Errorf("told %d times:\n%s", n, log.String())
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		step("missing", true, 1)
		write(t, path, "client ann\n")
		step("mended", false, 2)
		cancel()
		run.Wait()
	})
}

// users accepts everybody under the user name they send.
type users struct{}

func (users) Authenticate(_ context.Context, c *broker.Credentials) (*broker.Identity, error) {
	return &broker.Identity{User: c.Username, Claims: map[string]any{"jti": string(c.Password)}}, nil
}

// Denying a connected client disconnects it, and no other.
func TestLiveClientsAreDisconnected(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deny")
	write(t, path, "")
	l := mustNew(t, denylist.Options{Path: path, CheckEvery: 20 * time.Millisecond})
	b, err := broker.New(broker.Options{Hooks: []any{users{}, l}, Shards: 2})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	parts.Go(func() { _ = b.Run(ctx) })
	parts.Go(func() { _ = l.Run(ctx, b.RulesChanged) })
	t.Cleanup(func() { cancel(); parts.Wait() })
	dial := func(version byte) *raw.Client {
		ours, theirs := net.Pipe()
		if err := b.Attach(broker.Conn{Conn: theirs, Listener: "pipe"}); err != nil {
			t.Fatal(err)
		}
		return raw.New(t, ours, version)
	}
	packet := func(version byte, id, user, token string) raw.Connect {
		return raw.Connect{Version: version, ID: id, Clean: true, User: &user, Password: &token}
	}
	connect := func(version byte, id, user, token string) *raw.Client {
		c := dial(version)
		c.Connect(packet(version, id, user, token))
		return c
	}
	other := connect(raw.V5, "other", "other", "other")
	for _, tt := range []struct {
		name    string
		version byte
		entry   denylist.Entry
	}{
		{"user", raw.V5, denylist.Entry{Kind: denylist.User, Value: "u"}},
		{"token", raw.V5, denylist.Entry{Kind: denylist.Token, Value: "t"}},
		{"client", raw.V5, denylist.Entry{Kind: denylist.Client, Value: "c"}},
		{"user in 3.1.1", raw.V311, denylist.Entry{Kind: denylist.User, Value: "u", Until: time.Now().Add(time.Hour)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := connect(tt.version, "c", "u", "t")
			if err := denylist.Add(path, tt.entry); err != nil {
				t.Fatal(err)
			}
			if tt.version == raw.V5 {
				if got := c.Expect(raw.DISCONNECT); got.Code != 0x87 {
					t.Errorf("%v, want 0x87", got)
				}
			}
			c.ExpectClosed()
			again := dial(tt.version)
			again.SendConnect(packet(tt.version, "c", "u", "t"))
			if got := again.Expect(raw.CONNACK); got.Code == 0 {
				t.Error("it was let in again")
			}
			if err := denylist.Remove(path, tt.entry.Kind, tt.entry.Value); err != nil {
				t.Fatal(err)
			}
			for end := time.Now().Add(raw.Patience); l.Stats().Entries[tt.entry.Kind] > 0; time.Sleep(time.Millisecond) {
				if time.Now().After(end) {
					t.Fatal("the entry is still there")
				}
			}
		})
	}
	other.ExpectNothing()
}

// TestEntriesThatAreOverAreDropped checks that the list holds no expired entries, after reading and later.
func TestEntriesThatAreOverAreDropped(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deny")
	synctest.Test(t, func(t *testing.T) {
		at := func(d time.Duration) string { return " until " + time.Now().Add(d).UTC().Format(time.RFC3339) + "\n" }
		var text strings.Builder
		for i := range 2000 {
			text.WriteString("token brief-" + strconv.Itoa(i) + at(time.Hour))
		}
		write(t, path, "user past"+at(-time.Hour)+"user soon"+at(time.Minute)+"user later"+at(3*time.Hour)+"user always\n"+text.String())
		l := mustNew(t, denylist.Options{Path: path})
		ctx, cancel := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { _ = l.Run(ctx, func() {}) })
		for _, step := range []struct {
			wait          time.Duration
			users, tokens int
		}{{0, 3, 2000}, {time.Minute, 2, 2000}, {time.Hour, 2, 0}, {3 * time.Hour, 1, 0}} {
			time.Sleep(step.wait + 2*time.Second)
			synctest.Wait()
			if n := l.Stats().Entries; n[denylist.User] != step.users || n[denylist.Token] != step.tokens {
				t.Errorf("after %v: %v", step.wait, n)
			}
		}
		if l.Admit(&broker.Client{Identity: &broker.Identity{User: "always"}}) == nil || l.Admit(&broker.Client{Identity: &broker.Identity{User: "soon"}}) != nil {
			t.Error("the wrong entries were dropped")
		}
		cancel()
		run.Wait()
	})
}
