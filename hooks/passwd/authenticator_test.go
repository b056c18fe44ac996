package passwd_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/hooks/passwd"
)

// Hashes of "secret" by the reference implementation (argon2id_hash_encoded of libargon2), cheap enough for tests.
const (
	argonHash      = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$pGAgPgkJ+esPqBoW9JTt6WhwKYDSed0z8JpcGysy3V0"
	argonShortHash = "$argon2id$v=19$m=64,t=1,p=2$c29tZXNhbHQ$MEVaC3Buk/M2VALQU0tIDA"
)

func file(tb testing.TB, lines ...string) (path string) {
	tb.Helper()
	path = filepath.Join(tb.TempDir(), "passwd")
	overwrite(tb, path, lines...)
	return path
}

func overwrite(tb testing.TB, path string, lines ...string) {
	tb.Helper()
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		tb.Fatal(err)
	}
}

func mustNew(tb testing.TB, path string) *passwd.Authenticator {
	tb.Helper()
	a, err := passwd.New(passwd.Options{Path: path})
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

func show(a *passwd.Authenticator, user, password string) (*broker.Identity, error) {
	return a.Authenticate(context.Background(), &broker.Credentials{Username: user, Password: []byte(password)})
}

func bcryptHash(tb testing.TB, password, version string) string {
	tb.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		tb.Fatal(err)
	}
	return "$" + version + string(hash[3:])
}

func wantRefusal(t *testing.T, err error, label string) {
	t.Helper()
	refusal, ok := errors.AsType[*broker.Refusal](err)
	if !ok {
		t.Fatalf("got %v, want a refusal", err)
	}
	if refusal.Label != label || refusal.Code != broker.CodeBadUserOrPassword || refusal.Reason != "unknown user or wrong password" {
		t.Errorf("got 0x%02X %s: %s, want %s", refusal.Code, refusal.Label, refusal.Reason, label)
	}
}

func TestAuthenticate(t *testing.T) {
	a := mustNew(t, file(t,
		"# users of the test", "",
		"argon:"+argonHash,
		"short:"+argonShortHash+":{}\r",
		`ann:`+bcryptHash(t, "s:cr t", "2a")+`:{"rooms":["lobby"],"admin":true,"n":9007199254740993,"f":0.5,"deep":{"x":[1]}}`,
		"bcrypt b:"+bcryptHash(t, "secret", "2b"),
		"ÿ:"+bcryptHash(t, "sécret", "2y"),
		"long:"+bcryptHash(t, strings.Repeat("x", 72), "2b"),
	))
	cases := []struct {
		name, user, password string
		label                string // empty: accepted
	}{
		{"argon2id", "argon", "secret", ""},
		{"argon2id again", "argon", "secret", ""},
		{"argon2id of other parameters", "short", "secret", ""},
		{"bcrypt 2a, with a colon and a space", "ann", "s:cr t", ""},
		{"bcrypt 2b, name with a space", "bcrypt b", "secret", ""},
		{"bcrypt 2y, not ASCII", "ÿ", "sécret", ""},
		{"bcrypt of 72 bytes", "long", strings.Repeat("x", 72), ""},
		{"wrong after it was right", "argon", "Secret", "bad_password"},
		{"wrong", "ann", "secret", "bad_password"},
		{"empty", "argon", "", "bad_password"},
		{"with more", "argon", "secret\x00", "bad_password"},
		{"the hash itself", "argon", argonHash, "bad_password"},
		{"unknown user", "bob", "secret", "unknown_user"},
		{"unknown user, another's password", "argo", "secret", "unknown_user"},
		{"user in capitals", "Argon", "secret", "unknown_user"},
		{"comment", "# users of the test", "", "unknown_user"},
		{"huge", "argon", strings.Repeat("x", 65535), "bad_password"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			id, err := show(a, c.user, c.password)
			if c.label != "" {
				if id != nil {
					t.Errorf("accepted as %q", id.User)
				}
				wantRefusal(t, err, c.label)
				return
			}
			if err != nil || id.User != c.user || id.Method != passwd.Method || !id.Expires.IsZero() {
				t.Errorf("got %+v, %v", id, err)
			}
		})
	}
	id, err := show(a, "ann", "s:cr t")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprintf("%v", id.Claims), "map[admin:true deep:map[x:[1]] f:0.5 n:9007199254740993 rooms:[lobby]]"; got != want {
		t.Errorf("claims are %s, want %s", got, want)
	}
}

func TestQuickly(t *testing.T) {
	path := file(t, "ann:"+argonHash)
	a := mustNew(t, path)
	quickly := func(user, password string) (*broker.Identity, bool) {
		return a.AuthenticateQuickly(&broker.Credentials{Username: user, Password: []byte(password)})
	}
	if id, known := quickly("ann", "secret"); id != nil || known {
		t.Errorf("before it was verified: got %+v, %t", id, known)
	}
	if _, err := show(a, "ann", "secret"); err != nil {
		t.Fatal(err)
	}
	if id, known := quickly("ann", "secret"); !known || id == nil || id.User != "ann" {
		t.Errorf("afterwards: got %+v, %t", id, known)
	}
	for _, wrong := range [][2]string{{"ann", "Secret"}, {"ann", ""}, {"bob", "secret"}} {
		if id, known := quickly(wrong[0], wrong[1]); id != nil || known {
			t.Errorf("%q: got %+v, %t", wrong, id, known)
		}
	}
	if err := a.Reload(); err != nil {
		t.Fatal(err)
	}
	if id, known := quickly("ann", "secret"); id != nil || known {
		t.Errorf("after the file was read again: got %+v, %t", id, known)
	}
}

func TestNotConcerned(t *testing.T) {
	a := mustNew(t, file(t, "ann:"+argonHash))
	for _, c := range []broker.Credentials{{}, {Username: "ann"}, {Password: []byte("secret")}} {
		if _, err := a.Authenticate(t.Context(), &c); !errors.Is(err, broker.ErrNotConcerned) {
			t.Errorf("user %q, password %q: got %v", c.Username, c.Password, err)
		}
		if id, known := a.AuthenticateQuickly(&c); id != nil || !known {
			t.Errorf("user %q, password %q: quickly: got %v, %t", c.Username, c.Password, id, known)
		}
	}
}

func TestEmptyFile(t *testing.T) {
	a := mustNew(t, file(t))
	_, err := show(a, "ann", "secret")
	wantRefusal(t, err, "unknown_user")
}

func TestContextEndsTheWait(t *testing.T) {
	a, err := passwd.New(passwd.Options{Path: file(t, "ann:"+argonHash), Concurrency: 1})
	if err != nil {
		t.Fatal(err)
	}
	release := a.Occupy()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ann := &broker.Credentials{Username: "ann", Password: []byte("secret")}
	if id, err := a.Authenticate(ctx, ann); id != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, %v", id, err)
	}
	release()
	if _, err := a.Authenticate(t.Context(), ann); err != nil {
		t.Error(err)
	}
	// A password that was right last time needs no slot.
	defer a.Occupy()()
	if _, err := a.Authenticate(ctx, ann); err != nil {
		t.Errorf("the second time: %v", err)
	}
	if id, err := a.Authenticate(ctx, &broker.Credentials{Username: "ann", Password: []byte("other")}); id != nil || err == nil {
		t.Errorf("a wrong one: %v, %v", id, err)
	}
}

// An unknown user must cost the hash of a user in the file, always the same one.
func TestUnknownUsersCostAHash(t *testing.T) {
	path := file(t, "a:"+argonHash, "b:"+argonShortHash, "c:"+bcryptHash(t, "x", "2b"))
	a := mustNew(t, path)
	picked := map[string]int{}
	for i := range 300 {
		name := fmt.Sprintf("nobody%d", i)
		first := a.DecoyFor(name)
		if again := a.DecoyFor(name); again != first {
			t.Fatalf("%s costs the hash of %s, then that of %s", name, first, again)
		}
		picked[first]++
	}
	for _, user := range []string{"a", "b", "c"} {
		if picked[user] < 50 {
			t.Errorf("of 300 unknown users, %d cost the hash of %s", picked[user], user)
		}
	}
}

func TestReload(t *testing.T) {
	path := file(t, "ann:"+argonHash)
	a := mustNew(t, path)
	accepted := func(user, password string) bool {
		_, err := show(a, user, password)
		return err == nil
	}
	if !accepted("ann", "secret") {
		t.Fatal("not accepted at first")
	}
	overwrite(t, path, "ann:broken")
	if err := a.Reload(); err == nil || !accepted("ann", "secret") {
		t.Errorf("a broken file: %v", err)
	}
	overwrite(t, path, "ann:"+bcryptHash(t, "new", "2b"), "bob:"+argonHash)
	if err := a.Reload(); err != nil || accepted("ann", "secret") || !accepted("ann", "new") || !accepted("bob", "secret") {
		t.Errorf("a new file: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := a.Reload(); !errors.Is(err, os.ErrNotExist) || !accepted("bob", "secret") {
		t.Errorf("no file: %v", err)
	}
}

func TestReloadWhileAsked(t *testing.T) {
	path := file(t, "ann:"+argonHash, "bob:"+argonShortHash)
	a := mustNew(t, path)
	done := make(chan struct{})
	var asking sync.WaitGroup
	for i := range 4 {
		asking.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				user := []string{"ann", "bob"}[i%2]
				if _, err := show(a, user, "secret"); err != nil {
					t.Error(err)
					return
				}
				if id, err := show(a, user, "wrong"); err == nil {
					t.Errorf("accepted as %q", id.User)
					return
				}
			}
		})
	}
	for range 50 {
		if err := a.Reload(); err != nil {
			t.Error(err)
		}
	}
	close(done)
	asking.Wait()
}

func BenchmarkAuthenticate(b *testing.B) {
	path := file(b)
	if err := passwd.Set(path, "ann", "secret", nil); err != nil {
		b.Fatal(err)
	}
	a := mustNew(b, path)
	for _, bench := range []struct{ name, user, password string }{
		{"right-again", "ann", "secret"}, {"wrong", "ann", "wrong"}, {"unknown", "bob", "secret"},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				show(a, bench.user, bench.password)
			}
		})
	}
}
