package boltstore_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/broker"
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
		{"another program's bbolt file", func(tb testing.TB, path string) {
			update(tb, path, func(tx *bbolt.Tx) error {
				_, err := tx.CreateBucket([]byte("theirs"))
				return err
			})
		}, boltstore.ErrForeign, "choose another path"},
		{"a newer format", func(tb testing.TB, path string) {
			update(tb, path, func(tx *bbolt.Tx) error { return setFormat(tx, "2") })
		}, boltstore.ErrNewer, "format 2, and this one knows up to 1"},
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

func TestLoadRefusesADamagedValue(t *testing.T) {
	path := tempPath(t)
	value := filePairs["ticker/7"]
	damaged := strings.Replace(value, "p", "q", 1)
	write(t, path, bytes.ReplaceAll(storeFile(t), []byte(value), []byte(damaged)))
	s := mustOpen(t, boltstore.Options{Path: path})
	err := s.Load(broker.SpaceRetained, func(string, []byte) error { return nil })
	if !errors.Is(err, boltstore.ErrDamaged) || !strings.Contains(err.Error(), "ticker/7") {
		t.Errorf("Load returned %v", err)
	}
}

// TestDamageIsNeverMisread damages a file in many ways. It may be refused, and a damaged page may happen not to be in
// use; but what is loaded must have been written, and nothing may end the process.
func TestDamageIsNeverMisread(t *testing.T) {
	whole := storeFile(t)
	path := tempPath(t)
	random := rand.New(rand.NewPCG(1, 2))
	refused := 0
	const rounds = 300
	for round := range rounds {
		file := damage(random, append([]byte(nil), whole...))
		write(t, path, file)
		if err := loadDamaged(t, path); err != nil {
			refused++
			if !errors.Is(err, boltstore.ErrDamaged) && !errors.Is(err, boltstore.ErrForeign) && !errors.Is(err, boltstore.ErrNewer) {
				t.Errorf("round %d: %v", round, err)
			}
		}
	}
	t.Logf("%d of %d damaged files were refused", refused, rounds)
	if refused < rounds/10 {
		t.Errorf("only %d of %d damaged files were refused", refused, rounds)
	}
}

// damage flips a bit, overwrites some bytes, or cuts the file. It prefers the parts that bbolt's structure is in.
func damage(random *rand.Rand, file []byte) []byte {
	pageSize := os.Getpagesize()
	at := random.IntN(len(file))
	if random.IntN(3) > 0 {
		at = at/pageSize*pageSize + random.IntN(80) // the head of a page
	}
	switch random.IntN(4) {
	case 0:
		return file[:at]
	case 1:
		file[at] ^= 1 << random.IntN(8)
	case 2:
		for i := at; i < min(at+1+random.IntN(64), len(file)); i++ {
			file[i] = byte(random.Uint32())
		}
	case 3:
		clear(file[at:min(at+random.IntN(pageSize), len(file))])
	}
	return file
}

func loadDamaged(t *testing.T, path string) error {
	s, err := boltstore.Open(boltstore.Options{Path: path})
	if err != nil {
		return err
	}
	defer s.Close()
	err = s.Load(broker.SpaceRetained, func(key string, value []byte) error {
		if filePairs[key] != string(value) {
			t.Errorf("misread: %q has the value %q", key, value)
		}
		return nil
	})
	if err == nil {
		err = commit(s, put("ticker/7", filePairs["ticker/7"]))
	}
	return err
}

// filePairs are what storeFile has in it.
var filePairs = func() map[string]string {
	pairs := map[string]string{strings.Repeat("long/", 10_000): "a long key"}
	for i := range 1000 {
		pairs[fmt.Sprint("ticker/", i)] = fmt.Sprintf(`{"p":%d.%02d,"t":1700000000000}`, i*7, i%100)
	}
	pairs["large"] = strings.Repeat("large ", 5000)
	return pairs
}()

// storeFile returns the bytes of a store's file.
func storeFile(tb testing.TB) []byte {
	tb.Helper()
	path := tempPath(tb)
	s, err := boltstore.Open(boltstore.Options{Path: path})
	if err != nil {
		tb.Fatal(err)
	}
	for key, value := range filePairs {
		s.Commit(ops(put(key, value)), func(error) {})
	}
	if err := s.Close(); err != nil {
		tb.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return file
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
