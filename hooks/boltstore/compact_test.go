package boltstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/outcry-mqtt/outcry/broker/storage"
	"github.com/outcry-mqtt/outcry/hooks/boltstore"
)

// sparse creates a mostly free store, and returns its content.
func sparse(tb testing.TB, path string) map[string]string {
	tb.Helper()
	s := mustOpen(tb, boltstore.Options{Path: path})
	want := map[string]string{strings.Repeat("long/", 10_000): "a long key", "": "an empty one"}
	for key, value := range want {
		mustCommit(tb, s, put(key, value))
	}
	var gone []storage.Op
	for i := range 2000 {
		key := fmt.Sprint("k/", i)
		s.Commit(ops(put(key, valueOf(key))), func(error) {})
		if i%20 == 0 {
			want[key] = valueOf(key)
			continue
		}
		gone = append(gone, del(key))
	}
	mustCommit(tb, s, gone...)
	mustCommit(tb, s, storage.Op{Space: storage.SpaceRetained + 1, Key: "\x00\xff", Value: []byte("other")})
	if err := s.Close(); err != nil {
		tb.Fatal(err)
	}
	return want
}

func TestCompactFile(t *testing.T) {
	path := tempPath(t)
	want := sparse(t, path)
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link.db")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	before := fileSize(t, path)
	var done, total int64
	c, err := boltstore.CompactFile(t.Context(), link, boltstore.CompactOptions{Progress: func(d, of int64) { done, total = d, of }})
	if err != nil {
		t.Fatal(err)
	}
	if c.Before != before || c.After != fileSize(t, path) || c.After > before/2 || done == 0 || done > total {
		t.Errorf("it says %+v; the file had %d bytes and has %d; progress was %d of %d", c, before, fileSize(t, path), done, total)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("the file is %v, %v", info, err)
	}
	r := checkStore(t, path)
	if r.Err() != nil || r.Spaces[storage.SpaceRetained+1].Keys != 1 {
		t.Errorf("its report is %+v", r)
	}
	wantPairs(t, load(t, mustOpen(t, boltstore.Options{Path: link})), want)
}

func TestCompactRefuses(t *testing.T) {
	whole := storeFile(t)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, test := range map[string]struct {
		ctx  context.Context
		make func(t *testing.T, path string)
		want error
	}{
		"a store that is open": {t.Context(), func(t *testing.T, path string) { mustOpen(t, boltstore.Options{Path: path}) }, boltstore.ErrInUse},
		"damage": {t.Context(), func(t *testing.T, path string) {
			write(t, path, bytes.ReplaceAll(whole, []byte("large large"), []byte("large lArge")))
		}, boltstore.ErrDamaged},
		"nothing":               {t.Context(), func(*testing.T, string) {}, os.ErrNotExist},
		"when it is called off": {ended, func(t *testing.T, path string) { write(t, path, whole) }, context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			path := tempPath(t)
			test.make(t, path)
			before, _ := os.ReadFile(path)
			if _, err := boltstore.CompactFile(test.ctx, path, boltstore.CompactOptions{}); !errors.Is(err, test.want) {
				t.Errorf("the error is %v, want %v", err, test.want)
			}
			if after, _ := os.ReadFile(path); !bytes.Equal(after, before) {
				t.Error("the file was changed")
			}
			if names, _ := filepath.Glob(path + ".*"); len(names) > 0 {
				t.Errorf("it left %v", names)
			}
		})
	}
}

// TestCompactBesideTraffic compacts repeatedly during commits, later ops and reads.
func TestCompactBesideTraffic(t *testing.T) {
	path := tempPath(t)
	want := sparse(t, path)
	s := mustOpen(t, boltstore.Options{Path: path})
	before, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer before.Close()
	stop := make(chan struct{})
	var traffic sync.WaitGroup
	var written [4]map[string]string
	for writer := range written {
		written[writer] = make(map[string]string)
		traffic.Go(func() { writeUntil(t, s, fmt.Sprint("w/", writer, "/"), stop, written[writer]) })
	}
	traffic.Go(func() {
		for !isClosed(stop) {
			load(t, s)
		}
	})
	for range 10 {
		c, err := s.Compact(t.Context(), boltstore.CompactOptions{})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%+v", c)
	}
	close(stop)
	traffic.Wait()
	if got := mustCheck(t, before, boltstore.CheckOptions{}); got.Err() != nil || got.Spaces[storage.SpaceRetained].Keys != int64(len(want)) {
		t.Errorf("what is read from before has %+v, %v", got.Spaces, got.Err())
	}
	before.Close()
	for _, pairs := range written {
		if len(pairs) == 0 {
			t.Error("a writer wrote nothing")
		}
		maps.Copy(want, pairs)
	}
	wantPairs(t, load(t, s), want)
	if got := s.Stats(); got.FileBytes != fileSize(t, path) || got.Failures != 0 {
		t.Errorf("stats are %+v, and the file has %d bytes", got, fileSize(t, path))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wantPairs(t, load(t, mustOpen(t, boltstore.Options{Path: path})), want)
}

// writeUntil changes keys with a prefix and records acknowledged changes in pairs.
func writeUntil(t *testing.T, s *boltstore.Store, prefix string, stop <-chan struct{}, pairs map[string]string) {
	for i := 0; !isClosed(stop); i++ {
		key, value := fmt.Sprint(prefix, i%100), fmt.Sprint(i)
		s.Later(put(prefix+"later", value))
		if err := commit(s, put(key, value), put(prefix+"later", value)); err != nil {
			t.Error(err)
			return
		}
		pairs[key], pairs[prefix+"later"] = value, value
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestCloseEndsCompacting(t *testing.T) {
	path := tempPath(t)
	want := sparse(t, path)
	s := mustOpen(t, boltstore.Options{Path: path})
	closed := make(chan error, 1)
	closing := sync.OnceFunc(func() {
		go func() { closed <- s.Close() }()
		eventually(t, "it is closed", func() bool { return errors.Is(commit(s), boltstore.ErrClosed) })
	})
	_, err := s.Compact(t.Context(), boltstore.CompactOptions{Progress: func(int64, int64) { closing() }})
	if !errors.Is(err, boltstore.ErrClosed) {
		t.Errorf("the error is %v", err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if names, _ := filepath.Glob(path + ".*"); len(names) > 0 {
		t.Errorf("it left %v", names)
	}
	if _, err := s.Compact(t.Context(), boltstore.CompactOptions{}); !errors.Is(err, boltstore.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	wantPairs(t, load(t, mustOpen(t, boltstore.Options{Path: path})), want)
}

func TestCompactAsksForRoom(t *testing.T) {
	path := tempPath(t)
	sparse(t, path)
	boltstore.SetRoom(t, 1<<20)
	_, err := boltstore.CompactFile(t.Context(), path, boltstore.CompactOptions{})
	if err == nil || !strings.Contains(err.Error(), "not enough disk space: it needs 2 MiB in "+filepath.Dir(path)+", and 1 MiB are free; free 1 MiB more") {
		t.Errorf("the error is %v", err)
	}
}

// TestNobodyElseGetsACompactedStore opens the file continuously: a process that waits for the lock of a replaced file
// must not take it for the store when the lock is released.
func TestNobodyElseGetsACompactedStore(t *testing.T) {
	path := tempPath(t)
	want := sparse(t, path)
	s := mustOpen(t, boltstore.Options{Path: path})
	stop := make(chan struct{})
	var others sync.WaitGroup
	for range 3 {
		others.Go(func() {
			for !isClosed(stop) {
				if other, err := boltstore.Open(boltstore.Options{Path: path}); !errors.Is(err, boltstore.ErrInUse) {
					t.Errorf("it was opened twice: %v", err)
					if err == nil {
						other.Close()
					}
				}
			}
		})
	}
	for range 30 {
		if _, err := s.Compact(t.Context(), boltstore.CompactOptions{}); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	others.Wait()
	wantPairs(t, load(t, s), want)
}
