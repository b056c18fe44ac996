package boltstore_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/broker/storage"
	"github.com/outcry-mqtt/outcry/hooks/boltstore"
	"go.etcd.io/bbolt"
)

func TestOpenMakesFileAndFolderForTheirOwnerOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data", "deeper", "outcry.db")
	mustOpen(t, boltstore.Options{Path: path})
	for path, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", path, got, want)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	tests := []struct {
		name string
		make func(tb testing.TB, path string)
		want error
		says string
	}{
		{"a file that is open", func(tb testing.TB, path string) {
			mustOpen(tb, boltstore.Options{Path: path})
		}, boltstore.ErrInUse, "in use by another process; stop it"},
		{"text", func(tb testing.TB, path string) {
			write(tb, path, []byte(strings.Repeat("not a store\n", 10_000)))
		}, boltstore.ErrDamaged, "restore the file from a backup, or move it away"},
		{"a few bytes", func(tb testing.TB, path string) {
			write(tb, path, []byte("x"))
		}, boltstore.ErrDamaged, "move it away"},
		{"the first half of a store", func(tb testing.TB, path string) {
			file := storeFile(tb)
			write(tb, path, file[:len(file)/2])
		}, boltstore.ErrDamaged, "move it away"},
		{"keys out of order in a branch", func(tb testing.TB, path string) {
			write(tb, path, swapBranchKeys(storeFile(tb)))
		}, boltstore.ErrDamaged, "out of order"},
		{"another program's bbolt file", func(tb testing.TB, path string) {
			update(tb, path, func(tx *bbolt.Tx) error {
				_, err := tx.CreateBucket([]byte("theirs"))
				return err
			})
		}, boltstore.ErrForeign, "choose another path"},
		{"a newer format", func(tb testing.TB, path string) {
			update(tb, path, func(tx *bbolt.Tx) error { return setFormat(tx, "3") })
		}, boltstore.ErrNewer, "format 3, and this one knows up to 2"},
		{"a format that is none", func(tb testing.TB, path string) {
			update(tb, path, func(tx *bbolt.Tx) error { return setFormat(tx, "one") })
		}, boltstore.ErrDamaged, "move it away"},
		{"a folder", func(tb testing.TB, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				tb.Fatal(err)
			}
		}, nil, "not a regular file"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := tempPath(t)
			test.make(t, path)
			before, _ := os.ReadFile(path)
			s, err := boltstore.Open(boltstore.Options{Path: path})
			if err == nil {
				s.Close()
				t.Fatal("it was opened")
			}
			if test.want != nil && !errors.Is(err, test.want) {
				t.Errorf("the error is %v, want one that wraps %v", err, test.want)
			}
			if !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), path) {
				t.Errorf("the error %q does not name the file or say %q", err, test.says)
			}
			if after, _ := os.ReadFile(path); string(after) != string(before) {
				t.Error("the file was changed")
			}
		})
	}
	if _, err := boltstore.Open(boltstore.Options{}); err == nil {
		t.Error("a store without a path was opened")
	}
}

// TestOlderFormatIsCarriedOver creates a file of format 1, which had retained messages only.
func TestOlderFormatIsCarriedOver(t *testing.T) {
	path := tempPath(t)
	s := mustOpen(t, boltstore.Options{Path: path})
	mustCommit(t, s, put("a", "1"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	update(t, path, func(tx *bbolt.Tx) error {
		for _, name := range []string{"sessions", "subscriptions", "flows", "messages", "notes"} {
			if err := errors.Join(tx.DeleteBucket([]byte(name)), tx.DeleteBucket([]byte(name+".long"))); err != nil {
				return err
			}
		}
		return tx.Bucket([]byte("outcry")).Put([]byte("format"), []byte("1"))
	})
	s = mustOpen(t, boltstore.Options{Path: path})
	wantPairs(t, load(t, s), map[string]string{"a": "1"})
	mustCommit(t, s, storage.Op{Space: storage.SpaceSessions, Key: "c", Value: []byte("s")})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	_ = db.View(func(tx *bbolt.Tx) error {
		if got := tx.Bucket([]byte("outcry")).Get([]byte("format")); string(got) != "2" {
			t.Errorf("the file says format %q, want 2", got)
		}
		return nil
	})
}

func write(tb testing.TB, path string, file []byte) {
	tb.Helper()
	if err := os.WriteFile(path, file, 0o600); err != nil {
		tb.Fatal(err)
	}
}

func update(tb testing.TB, path string, fn func(*bbolt.Tx) error) {
	tb.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		tb.Fatal(err)
	}
	if err := errors.Join(db.Update(fn), db.Close()); err != nil {
		tb.Fatal(err)
	}
}

func setFormat(tx *bbolt.Tx, format string) error {
	meta, err := tx.CreateBucket([]byte("outcry"))
	if err != nil {
		return err
	}
	return meta.Put([]byte("format"), []byte(format))
}
