package passwd_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/hooks/passwd"
)

func set(t *testing.T, path, user, password string, claims map[string]any) {
	t.Helper()
	if err := passwd.Set(path, user, password, claims); err != nil {
		t.Fatal(err)
	}
}

func TestEdit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "passwd")
	set(t, path, "ann", "one", nil)
	set(t, path, "bob", "two", map[string]any{"rooms": []string{"lobby"}})
	set(t, path, "ÿ z", strings.Repeat("x", 65535), nil)
	a := mustNew(t, path)
	for user, password := range map[string]string{"ann": "one", "bob": "two", "ÿ z": strings.Repeat("x", 65535)} {
		if id, err := show(a, user, password); err != nil || id.User != user {
			t.Errorf("%s: got %+v, %v", user, id, err)
		}
	}
	entries, err := passwd.List(path)
	want := []passwd.Entry{
		{User: "ann", Scheme: "argon2id"},
		{User: "bob", Scheme: "argon2id", Claims: map[string]any{"rooms": []any{"lobby"}}},
		{User: "ÿ z", Scheme: "argon2id"},
	}
	if err != nil || !reflect.DeepEqual(entries, want) {
		t.Errorf("got %+v, %v", entries, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := passwd.Delete(path, "ann"); err != nil {
		t.Fatal(err)
	}
	if err := passwd.Delete(path, "ann"); !errors.Is(err, passwd.ErrNoUser) {
		t.Errorf("deleted twice: %v", err)
	}
	if err := a.Reload(); err != nil {
		t.Fatal(err)
	}
	_, err = show(a, "ann", "one")
	wantRefusal(t, err, "unknown_user")
}

func TestSetKeepsClaimsUnlessTold(t *testing.T) {
	path := file(t, "bob:"+bcryptHash(t, "old", "2b")+`:{"rooms": ["a"], "n": 9007199254740993}`)
	claims := func() map[string]any {
		entries, err := passwd.List(path)
		if err != nil || len(entries) != 1 {
			t.Fatalf("got %+v, %v", entries, err)
		}
		return entries[0].Claims
	}
	set(t, path, "bob", "new", nil)
	if got := claims(); got["n"] != int64(9007199254740993) || got["rooms"] == nil {
		t.Errorf("kept: %v", got)
	}
	set(t, path, "bob", "new", map[string]any{"admin": true})
	if got := claims(); len(got) != 1 || got["admin"] != true {
		t.Errorf("replaced: %v", got)
	}
	set(t, path, "bob", "new", map[string]any{})
	if got := claims(); got != nil {
		t.Errorf("taken away: %v", got)
	}
	if _, err := show(mustNew(t, path), "bob", "old"); err == nil {
		t.Error("the old password is accepted")
	}
}

func TestEditKeepsTheRest(t *testing.T) {
	path := file(t, "# people", "", "ann:"+argonHash+"\r", "  ", "bob:"+argonShortHash, "# end")
	set(t, path, "bob", "new", nil)
	set(t, path, "eve", "new", nil)
	if err := passwd.Delete(path, "ann"); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	for i, want := range []string{"# people", "", "  ", "bob:$argon2id$v=19$m=19456,t=2,p=1$", "# end", "eve:$argon2id$", ""} {
		if i >= len(lines) || !strings.HasPrefix(lines[i], want) {
			t.Fatalf("line %d does not begin with %q in:\n%s", i+1, want, text)
		}
	}
}

func TestEditAFileWithoutALastLineEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "passwd")
	if err := os.WriteFile(path, []byte("ann:"+argonHash), 0o600); err != nil {
		t.Fatal(err)
	}
	set(t, path, "bob", "two", nil)
	if _, err := show(mustNew(t, path), "ann", "secret"); err != nil {
		t.Error(err)
	}
}

func TestEditThroughALink(t *testing.T) {
	path := file(t, "ann:"+argonHash)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(path, link); err != nil {
		t.Skip(err)
	}
	set(t, link, "bob", "two", nil)
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is a %v, %v", info.Mode(), err)
	}
	if entries, err := passwd.List(path); err != nil || len(entries) != 2 {
		t.Errorf("got %+v, %v", entries, err)
	}
}

func TestEditErrors(t *testing.T) {
	path := file(t, "ann:"+argonHash)
	broken := file(t, "ann")
	cases := []struct {
		name string
		err  error
		want string
	}{
		{"no user", passwd.Set(path, "", "x", nil), "the user's name is empty"},
		{"colon", passwd.Set(path, "a:b", "x", nil), `the user's name "a:b" has a colon`},
		{"line end", passwd.Set(path, "a\nroot", "x", nil), "the user's name has a control character"},
		{"comment", passwd.Set(path, "#a", "x", nil), `begins with #`},
		{"no password", passwd.Set(path, "a", "", nil), "a password has 1 to 65535 bytes, and this one has 0"},
		{"long password", passwd.Set(path, "a", strings.Repeat("x", 65536), nil), "this one has 65536"},
		{"claims", passwd.Set(path, "a", "x", map[string]any{"f": func() {}}), `claims of "a": json: unsupported type`},
		{"broken file", passwd.Set(broken, "a", "x", nil), broken + ":1:1: there is no colon"},
		{"delete from a broken file", passwd.Delete(broken, "a"), broken + ":1:1: there is no colon"},
		{"no folder", passwd.Set("/nowhere/passwd", "a", "x", nil), "no such file or directory"},
		{"delete from no file", passwd.Delete("/nowhere/passwd", "a"), "no such file or directory"},
	}
	for _, c := range cases {
		if c.err == nil || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", c.name, c.err, c.want)
		}
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "ann:"+argonHash+"\n" {
		t.Errorf("the file changed to %q, %v", text, err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
