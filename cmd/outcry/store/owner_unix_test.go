//go:build unix && !solaris && !aix

package store

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/outcry-mqtt/outcry/cmd/outcry/outcrytest"
	"github.com/outcry-mqtt/outcry/hooks/boltstore"
)

// nobody is an unused user and group.
const nobody = 65534

// openFolder creates a folder that every user may enter.
func openFolder(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can take another user's rights")
	}
	dir, err := os.MkdirTemp("", "owner")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// makeForeignFolder creates a data folder owned by nobody, with a store.
func makeForeignFolder(t *testing.T) (dir, data string) {
	t.Helper()
	dir = openFolder(t)
	data = filepath.Join(dir, "data")
	path := filepath.Join(data, File)
	s, err := boltstore.Open(boltstore.Options{Path: path})
	if err == nil {
		err = s.Close()
	}
	for _, name := range []string{data, path} {
		if err == nil {
			err = os.Chown(name, nobody, nobody)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir, data
}

// runAsRoot runs outcry as a process, which changes its user.
func runAsRoot(t *testing.T, args ...string) (output string, ok bool) {
	t.Helper()
	text, err := outcrytest.Command(t, args...).CombinedOutput()
	return string(text), err == nil
}

// TestRootsStoreCommandHasTheRightsOfTheFoldersOwner runs root's commands on a folder whose owner tries to gain more
// rights.
func TestRootsStoreCommandHasTheRightsOfTheFoldersOwner(t *testing.T) {
	dir, data := makeForeignFolder(t)
	path := filepath.Join(data, File)
	if text, ok := runAsRoot(t, "store", "compact", "--data", data); !ok {
		t.Fatal(text)
	}
	info, err := os.Stat(path)
	if err != nil || info.Sys().(*syscall.Stat_t).Uid != nobody || info.Mode().Perm() != 0o600 {
		t.Errorf("the compacted store is %v, %v", info, err)
	}
	for _, to := range []string{filepath.Join(dir, "root.db"), filepath.Join(data, "their.db")} {
		if text, ok := runAsRoot(t, "store", "backup", to, "--data", data); !ok {
			t.Error(text)
		}
	}
	if info, err := os.Stat(filepath.Join(data, "their.db")); err != nil || info.Sys().(*syscall.Stat_t).Uid != nobody {
		t.Errorf("the copy in their folder is %v, %v", info, err)
	}
	victim := filepath.Join(dir, "victim.db")
	if text, ok := runAsRoot(t, "store", "backup", victim, "--data", data); !ok {
		t.Fatal(text)
	}
	before, err := os.ReadFile(victim)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, path); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"check", "compact", "stats"} {
		if text, ok := runAsRoot(t, "store", command, "--data", data); ok || !strings.Contains(text, "permission denied") {
			t.Errorf("%s of a link to root's file: %s", command, text)
		}
	}
	if after, err := os.ReadFile(victim); err != nil || string(after) != string(before) {
		t.Error("root's file has changed")
	}
}

// TestRootsStoreCommandShowsNobodyItsFiles has the folder's owner name a file of root, and a server that would
// receive it.
func TestRootsStoreCommandShowsNobodyItsFiles(t *testing.T) {
	dir, data := makeForeignFolder(t)
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("only root may read this\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("the server was shown a file of root's")
		}
		asked.Add(1)
		_, _ = w.Write([]byte(`{"error":"busy \u001b[2J"}`))
	}))
	defer server.Close()
	s, err := boltstore.Open(boltstore.Options{Path: filepath.Join(data, File)}) // so that it is in use
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	name := func(tokenFile string) {
		t.Helper()
		text, _ := json.Marshal(Access{Address: server.Listener.Addr().String(), Key: "k", TokenFile: tokenFile})
		if err := os.WriteFile(filepath.Join(data, AccessFile), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	name(secret)
	if text, ok := runAsRoot(t, "store", "check", "--data", data); ok || !strings.Contains(text, "permission denied") || asked.Load() != 0 {
		t.Errorf("it was asked %d times, and the command said %q", asked.Load(), text)
	}
	name("")
	if text, ok := runAsRoot(t, "store", "check", "--data", data); ok || asked.Load() != 1 || !strings.Contains(text, "busy") || strings.Contains(text, "\x1b") {
		t.Errorf("it was asked %d times, and the command said %q", asked.Load(), text)
	}
}

func TestOwnerOf(t *testing.T) {
	dir := openFolder(t)
	mk := func(name string, uid int, make func(name string) error) {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := make(name); err != nil {
			t.Fatal(err)
		}
		if err := os.Lchown(name, uid, uid); err != nil {
			t.Fatal(err)
		}
	}
	folder := func(name string) error { return os.Mkdir(name, 0o755) }
	file := func(name string) error { return os.WriteFile(name, nil, 0o600) }
	link := func(to string) func(string) error { return func(name string) error { return os.Symlink(to, name) } }
	mk("roots", 0, folder)
	mk("roots/file", 0, file)
	mk("roots/given", 7, file)
	mk("theirs", 7, folder)
	mk("theirs/roots", 0, folder)
	mk("theirs/link", 8, link("/root"))
	mk("their link", 8, link("roots"))
	mk("link", 0, link("theirs/link"))
	mk("back", 0, link("roots/../theirs"))
	mk("loop", 0, link("loop"))
	mk("shared", 0, folder)
	if err := os.Chmod(filepath.Join(dir, "shared"), 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	mk("shared/file", 7, file)
	for path, want := range map[string]int{
		"roots": 0, "roots/file": 0, "roots/given": 0, "roots/missing": 0,
		"theirs": 7, "theirs/roots/x": 7, "theirs/link/x": 7, "their link/file": 8, "link/file": 7, "back": 7,
		"roots/../theirs/x": 7, "shared/file": 7, "loop": -1, "roots/file/x": -1,
	} {
		got, uid := -1, uint32(0)
		stat, err := ownerOf(dir + "/" + path)
		if stat != nil {
			uid = stat.Uid
		}
		if err == nil {
			got = int(uid)
		}
		if got != want {
			t.Errorf("%s: %d, %v, want %d", path, got, err, want)
		}
	}
}
