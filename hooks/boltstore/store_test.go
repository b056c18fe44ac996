package boltstore_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker/storage"
	"github.com/outcry-mqtt/outcry/hooks/boltstore"
	"go.etcd.io/bbolt"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		writeUntilKilled(path)
		return
	}
	if path := os.Getenv(compactEnv); path != "" {
		compactUntilKilled(path)
		return
	}
	goleak.VerifyTestMain(m)
}

// mustOpen opens the store at path, and closes it and checks its file when the test ends.
func mustOpen(tb testing.TB, o boltstore.Options) *boltstore.Store {
	tb.Helper()
	s, err := boltstore.Open(o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
		checkFile(tb, o.Path)
	})
	return s
}

// checkFile checks the file of a closed store with bbolt's own check.
func checkFile(tb testing.TB, path string) {
	tb.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, PreLoadFreelist: true})
	if err != nil {
		tb.Fatal(err)
	}
	defer db.Close()
	err = db.View(func(tx *bbolt.Tx) (errs error) {
		for err := range tx.Check() {
			errs = errors.Join(errs, err)
		}
		return errs
	})
	if err != nil {
		tb.Errorf("%s is not consistent: %v", path, err)
	}
}

func eventually(tb testing.TB, what string, is func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Fatalf("it never came about that %s", what)
		}
	}
}

func fileSize(tb testing.TB, path string) int64 {
	tb.Helper()
	info, err := os.Stat(path)
	if err != nil {
		tb.Fatal(err)
	}
	return info.Size()
}

func tempPath(tb testing.TB) string { return filepath.Join(tb.TempDir(), "outcry.db") }

func put(key, value string) storage.Op {
	return storage.Op{Space: storage.SpaceRetained, Key: key, Value: []byte(value)}
}

func ops(ops ...storage.Op) []storage.Op { return ops }

func del(key string) storage.Op {
	return storage.Op{Space: storage.SpaceRetained, Key: key, Delete: true}
}

// commit waits for the result of one Commit.
func commit(s *boltstore.Store, ops ...storage.Op) error {
	done := make(chan error, 1)
	s.Commit(ops, func(err error) { done <- err })
	return <-done
}

func mustCommit(tb testing.TB, s *boltstore.Store, ops ...storage.Op) {
	tb.Helper()
	if err := commit(s, ops...); err != nil {
		tb.Fatal(err)
	}
}

func load(tb testing.TB, s *boltstore.Store) map[string]string {
	tb.Helper()
	got := make(map[string]string)
	err := s.Load(storage.SpaceRetained, func(key string, value []byte) error {
		got[key] = string(value)
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return got
}

func wantPairs(tb testing.TB, got, want map[string]string) {
	tb.Helper()
	if !maps.Equal(got, want) {
		tb.Errorf("the store has %.2000q, want %.2000q", got, want)
	}
}

func TestCommitAndReopen(t *testing.T) {
	longest := strings.Repeat("k", 65535)
	many := make(map[string]string)
	var manyOps []storage.Op
	for i := range 3000 {
		key, value := fmt.Sprintf("ticker/%04d", i), fmt.Sprint(i)
		many[key] = value
		manyOps = append(manyOps, put(key, value))
	}
	tests := []struct {
		name string
		ops  []storage.Op
		want map[string]string
	}{
		{"nothing", nil, nil},
		{"a value", []storage.Op{put("a", "1")}, map[string]string{"a": "1"}},
		{"an empty value", []storage.Op{put("a", "")}, map[string]string{"a": ""}},
		{"the last of a group wins", []storage.Op{put("a", "1"), put("a", "2")}, map[string]string{"a": "2"}},
		{"deleted", []storage.Op{put("a", "1"), put("b", "2"), del("a")}, map[string]string{"b": "2"}},
		{"deleted and set", []storage.Op{put("a", "1"), del("a"), put("a", "3")}, map[string]string{"a": "3"}},
		{"deleted without being there", []storage.Op{del("a")}, nil},
		{"an empty key", []storage.Op{put("", "1")}, map[string]string{"": "1"}},
		{"the longest plain key", []storage.Op{put(longest[:32768], "1")}, map[string]string{longest[:32768]: "1"}},
		{"long keys", []storage.Op{put(longest, "1"), put(longest[1:], "2")}, map[string]string{longest: "1", longest[1:]: "2"}},
		{"a long key deleted", []storage.Op{put(longest, "1"), del(longest)}, nil},
		{"zero bytes", []storage.Op{put("a\x00b", "\x00\xff")}, map[string]string{"a\x00b": "\x00\xff"}},
		{"a large value", []storage.Op{put("a", strings.Repeat("v", 1<<20))}, map[string]string{"a": strings.Repeat("v", 1<<20)}},
		{"more than one page", manyOps, many},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := tempPath(t)
			s := mustOpen(t, boltstore.Options{Path: path})
			mustCommit(t, s, test.ops...)
			wantPairs(t, load(t, s), test.want)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			wantPairs(t, load(t, mustOpen(t, boltstore.Options{Path: path})), test.want)
		})
	}
}

func TestCommitsAreAcknowledgedInOrder(t *testing.T) {
	s := mustOpen(t, boltstore.Options{Path: tempPath(t), MaxOps: 7})
	const n = 100
	order := make(chan int, n)
	for i := range n {
		var ops []storage.Op
		if i%3 != 0 {
			ops = []storage.Op{put("k", fmt.Sprint(i))}
		}
		s.Commit(ops, func(err error) {
			if err != nil {
				t.Error(err)
			}
			order <- i
		})
	}
	for want := range n {
		if got := <-order; got != want {
			t.Fatalf("commit %d was acknowledged when %d was due", got, want)
		}
	}
	wantPairs(t, load(t, s), map[string]string{"k": "98"})
}

func TestLoadReturnsTheErrorOfItsCallback(t *testing.T) {
	s := mustOpen(t, boltstore.Options{Path: tempPath(t)})
	mustCommit(t, s, put("a", "1"), put("b", "2"))
	stop := errors.New("stop")
	calls := 0
	err := s.Load(storage.SpaceRetained, func(string, []byte) error { calls++; return stop })
	if !errors.Is(err, stop) || calls != 1 {
		t.Errorf("Load returned %v after %d calls", err, calls)
	}
	if err := s.Load(storage.Space(storage.Spaces), nil); err == nil {
		t.Error("Load of a space that is none returned no error")
	}
}

func TestClose(t *testing.T) {
	path := tempPath(t)
	s := mustOpen(t, boltstore.Options{Path: path})
	committed := make(chan error, 1)
	s.Commit([]storage.Op{put("a", "1")}, func(err error) { committed <- err })
	s.Later(put("b", "2"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-committed; err != nil {
		t.Errorf("a commit before Close was told %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("the second Close returned %v", err)
	}
	if err := commit(s, put("c", "3")); !errors.Is(err, boltstore.ErrClosed) {
		t.Errorf("a commit after Close was told %v", err)
	}
	s.Later(put("d", "4"))
	if got := s.Stats(); got.Dropped != 1 || got.FileBytes == 0 {
		t.Errorf("after Close the counters are %+v", got)
	}
	if err := s.Err(); !errors.Is(err, boltstore.ErrClosed) {
		t.Errorf("after Close, Err returned %v", err)
	}
	if err := s.Load(storage.SpaceRetained, nil); err == nil {
		t.Error("after Close, Load returned no error")
	}
	wantPairs(t, load(t, mustOpen(t, boltstore.Options{Path: path})), map[string]string{"a": "1", "b": "2"})
}

func TestStats(t *testing.T) {
	s := mustOpen(t, boltstore.Options{Path: tempPath(t)})
	mustCommit(t, s, put("abc", "12345"), del("abc"))
	mustCommit(t, s)
	got := s.Stats()
	if got.Commits != 1 || got.Ops != 2 || got.Bytes != 11 || got.Failures != 0 || got.Pending != 0 || got.PendingBytes != 0 {
		t.Errorf("counters: %+v", got)
	}
	if got.FileBytes == 0 {
		t.Error("the size of the file is 0")
	}
	h := got.Duration
	if len(h.Counts) != len(h.Bounds)+1 || h.Counts[len(h.Bounds)] != 1 || h.Sum <= 0 {
		t.Errorf("durations: %+v", h)
	}
}

func TestFullStoreRefuses(t *testing.T) {
	path := tempPath(t)
	s := mustOpen(t, boltstore.Options{Path: path, MaxPendingBytes: 1000, CommitInterval: time.Hour})
	told := make(chan error, 2)
	tell := func(err error) { told <- err }
	s.Commit([]storage.Op{put("a", strings.Repeat("v", 2000))}, tell) // nothing else is queued: it is accepted, whatever its size
	s.Commit([]storage.Op{put("c", "0")}, tell)
	s.Later(put("b", strings.Repeat("v", 2000)))
	if got := s.Stats(); got.Refused != 1 || got.Dropped != 1 {
		t.Errorf("counters: %+v", got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-told; err != nil {
		t.Errorf("a commit that was alone was told %v", err)
	}
	if err := <-told; !errors.Is(err, boltstore.ErrFull) {
		t.Errorf("a commit over the limit was told %v", err)
	}
	s = mustOpen(t, boltstore.Options{Path: path, MaxPendingBytes: 1000})
	mustCommit(t, s, put("c", "1"))
	wantPairs(t, load(t, s), map[string]string{"a": strings.Repeat("v", 2000), "c": "1"})
}

// TestFreePagesInPieces stores larger values than any free piece of the file, on a disk with space.
func TestFreePagesInPieces(t *testing.T) {
	s := mustOpen(t, boltstore.Options{Path: filepath.Join(t.TempDir(), "store.db")})
	n := uint64(0)
	for _, size := range []int{1000, 10_000, 100_000, 300_000, 1_000_000} {
		for i := range 40 {
			n++
			ops := []storage.Op{{Space: storage.SpaceMessages, Key: string(binary.BigEndian.AppendUint64(nil, n)), Value: make([]byte, size)}}
			if i%2 == 1 {
				ops = append(ops, storage.Op{Space: storage.SpaceMessages, Key: string(binary.BigEndian.AppendUint64(nil, n-1)), Delete: true})
			}
			if err := commit(s, ops...); err != nil {
				t.Fatalf("value %d of %d bytes: %v", i, size, err)
			}
		}
	}
}
