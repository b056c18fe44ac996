package denylist_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/hooks/denylist"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
		t.Fatal(err)
	}
}

func TestEdit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deny")
	write(t, path, "# ours\nuser  ann\n\nuser over until 2020-01-01T00:00:00Z\nclient \"a\"  # as it is\n")
	for _, e := range []denylist.Entry{
		{Kind: denylist.Token, Value: "t 1", Note: " stolen "},
		{Kind: denylist.User, Value: "ann", Until: time.Date(2999, 1, 2, 3, 4, 5, 6, time.UTC)},
	} {
		if err := denylist.Add(path, e); err != nil {
			t.Fatal(err)
		}
	}
	want := "# ours\nuser ann until 2999-01-02T03:04:05Z\n\nclient \"a\"  # as it is\ntoken \"t 1\" # stolen\n"
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("%q, %v\nwant %q", got, err, want)
	}
	if err := denylist.Remove(path, denylist.Client, "a"); err != nil {
		t.Error(err)
	}
	if err := denylist.Remove(path, denylist.Client, "a"); !errors.Is(err, denylist.ErrNoEntry) {
		t.Errorf("%v, want ErrNoEntry", err)
	}
	if entries, err := denylist.Read(path); err != nil || len(entries) != 2 {
		t.Errorf("%v, %v", entries, err)
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestEditRefuses(t *testing.T) {
	dir := t.TempDir()
	path, broken := filepath.Join(dir, "deny"), filepath.Join(dir, "broken")
	write(t, broken, "nonsense\n")
	for name, e := range map[string]denylist.Entry{
		"no kind":     {Value: "a"},
		"no value":    {Kind: denylist.User},
		"not UTF-8":   {Kind: denylist.User, Value: "a\xff"},
		"null":        {Kind: denylist.User, Value: "a\x00"},
		"two lines":   {Kind: denylist.User, Value: "a", Note: "b\nuser c"},
		"year 100000": {Kind: denylist.User, Value: "a", Until: time.Date(100000, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		if err := denylist.Add(path, e); err == nil {
			t.Errorf("%s: added", name)
		}
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the file was made")
	}
	if err := denylist.Remove(path, denylist.User, "a"); err == nil {
		t.Error("removed from no file")
	}
	var bad *denylist.FileError
	if err := denylist.Add(broken, denylist.Entry{Kind: denylist.User, Value: "a"}); !errors.As(err, &bad) {
		t.Errorf("%v, want a FileError", err)
	}
}

func TestEditsAtOnce(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there is no lock")
	}
	path := filepath.Join(t.TempDir(), "deny")
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			if err := denylist.Add(path, denylist.Entry{Kind: denylist.Token, Value: fmt.Sprint(i)}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if entries, err := denylist.Read(path); err != nil || len(entries) != 20 {
		t.Errorf("%d entries, %v; want 20", len(entries), err)
	}
}
