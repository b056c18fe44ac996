package boltstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/broker/storage"
	"github.com/outcry-mqtt/outcry/hooks/boltstore"
	"go.etcd.io/bbolt"
)

// mustSnapshot opens the file of a closed store.
func mustSnapshot(tb testing.TB, path string) *boltstore.Snapshot {
	tb.Helper()
	snap, err := boltstore.OpenSnapshot(path)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := snap.Close(); err != nil {
			tb.Error(err)
		}
	})
	return snap
}

func mustCheck(tb testing.TB, snap *boltstore.Snapshot, o boltstore.CheckOptions) *boltstore.Report {
	tb.Helper()
	r, err := snap.Check(tb.Context(), o)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

// checkStore checks the file of a closed store.
func checkStore(tb testing.TB, path string) *boltstore.Report {
	tb.Helper()
	snap := mustSnapshot(tb, path)
	defer snap.Close()
	return mustCheck(tb, snap, boltstore.CheckOptions{})
}

func TestCheckCounts(t *testing.T) {
	path := tempPath(t)
	write(t, path, storeFile(t))
	var done, total int64
	r := mustCheck(t, mustSnapshot(t, path), boltstore.CheckOptions{Progress: func(d, of int64) { done, total = d, of }})
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	if done == 0 || done > total {
		t.Errorf("it went up to %d of %d", done, total)
	}
	var keyBytes, valueBytes int64
	for key, value := range filePairs {
		keyBytes += int64(len(key))
		valueBytes += int64(len(value))
	}
	want := boltstore.SpaceReport{Name: "retained", Keys: int64(len(filePairs)), KeyBytes: keyBytes, ValueBytes: valueBytes}
	if r.Spaces[storage.SpaceRetained] != want || len(r.Spaces) != storage.Spaces {
		t.Errorf("spaces are %+v\nwant %+v", r.Spaces, want)
	}
	if r.Format < 1 || r.FileBytes != fileSize(t, path) || r.UsedBytes() <= keyBytes+valueBytes || r.UsedBytes()+r.FreeBytes() != r.FileBytes {
		t.Errorf("%d bytes used, %d free: %+v", r.UsedBytes(), r.FreeBytes(), r)
	}
	if len(r.Largest) != 10 || !strings.HasPrefix(r.Largest[0].Key, "long/long/") || len(r.Largest[0].Key) > 210 || r.Largest[1].Key != "large" {
		t.Errorf("the largest are %+v", r.Largest)
	}
}

func TestCheckShowsBinaryKeysEscaped(t *testing.T) {
	path := tempPath(t)
	s := mustOpen(t, boltstore.Options{Path: path})
	for space := range storage.Space(storage.Spaces) {
		mustCommit(t, s, storage.Op{Space: space, Key: "a\x00\xff\n", Value: []byte("v")})
	}
	snap, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	r := mustCheck(t, snap, boltstore.CheckOptions{})
	if len(r.Largest) != storage.Spaces || r.Largest[0].Key != `a\x00\xff\n` {
		t.Errorf("the largest are %+v", r.Largest)
	}
	for _, space := range r.Spaces {
		if space.Name == "" || space.Keys != 1 {
			t.Errorf("a space is %+v", space)
		}
	}
}

func TestCheckFindsDamage(t *testing.T) {
	whole := storeFile(t)
	for name, test := range map[string]struct {
		file     []byte
		want     string
		problems int
	}{
		"a value": {
			bytes.Replace(whole, []byte(filePairs["ticker/7"]), []byte(strings.Replace(filePairs["ticker/7"], "p", "q", 1)), -1),
			"retained: key ticker/7: checksum does not match", 1,
		},
		"every value":      {bytes.ReplaceAll(whole, []byte("1700000000000"), []byte("1700000000001")), "retained: key ticker/0: ", 1000},
		"order of keys":    {swapBranchKeys(bytes.Clone(whole)), "out of order", 1},
		"a missing branch": {whole[:len(whole)/2], "the file has", 1},
	} {
		t.Run(name, func(t *testing.T) {
			path := tempPath(t)
			write(t, path, test.file)
			r := mustCheck(t, mustSnapshot(t, path), boltstore.CheckOptions{Content: []boltstore.ContentCheck{neverCalled(t)}})
			err := r.Err()
			if !errors.Is(err, boltstore.ErrDamaged) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("found %v, want %s", err, test.want)
			}
			if n := len(r.Problems) + r.MoreProblems; n != test.problems || len(r.Problems) > 20 {
				t.Errorf("%d problems, %d told, want %d", n, len(r.Problems), test.problems)
			}
		})
	}
}

func neverCalled(tb testing.TB) boltstore.ContentCheck {
	return func(storage.Loader, func(error)) error {
		tb.Error("the content of a damaged store was looked at")
		return nil
	}
}

func TestCheckOfContent(t *testing.T) {
	path := tempPath(t)
	write(t, path, storeFile(t))
	snap := mustSnapshot(t, path)
	strict := func(from storage.Loader, problem func(error)) error {
		return from.Load(storage.SpaceRetained, func(key string, _ []byte) error {
			if key == "large" {
				problem(fmt.Errorf("%s: nobody may keep that", key))
			}
			return nil
		})
	}
	r := mustCheck(t, snap, boltstore.CheckOptions{Content: []boltstore.ContentCheck{strict}})
	if err := r.Err(); err == nil || !strings.HasPrefix(err.Error(), "large: nobody may keep that: damaged; restore") {
		t.Errorf("found %v", err)
	}
	unable := errors.New("cannot look")
	_, err := snap.Check(t.Context(), boltstore.CheckOptions{Content: []boltstore.ContentCheck{
		func(storage.Loader, func(error)) error { return unable },
	}})
	if !errors.Is(err, unable) {
		t.Errorf("the error is %v", err)
	}
}

func TestCheckEndsWithItsContext(t *testing.T) {
	path := tempPath(t)
	write(t, path, storeFile(t))
	ctx, cancel := context.WithCancel(t.Context())
	_, err := mustSnapshot(t, path).Check(ctx, boltstore.CheckOptions{Progress: func(int64, int64) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
}

// TestDamageIsFound checks that a file with other pairs than those written is not reported as sound.
func TestDamageIsFound(t *testing.T) {
	whole := storeFile(t)
	path := tempPath(t)
	random := rand.New(rand.NewPCG(5, 6))
	found := 0
	const rounds = 150
	for round := range rounds {
		write(t, path, damage(random, bytes.Clone(whole)))
		r, err := checkDamaged(t, path)
		if err != nil || r.Err() != nil {
			found++
			continue
		}
		got := make(map[string]string)
		snap := mustSnapshot(t, path)
		snap.Load(storage.SpaceRetained, func(key string, value []byte) error { got[key] = string(value); return nil })
		for key, value := range got {
			if filePairs[key] != value {
				t.Errorf("round %d: %.40q is %.40q", round, key, value)
			}
		}
		snap.Close()
	}
	t.Logf("%d of %d damaged files were found", found, rounds)
	if found < rounds/10 {
		t.Errorf("only %d of %d damaged files were found", found, rounds)
	}
}

func checkDamaged(t *testing.T, path string) (*boltstore.Report, error) {
	snap, err := boltstore.OpenSnapshot(path)
	if err != nil {
		return nil, err
	}
	defer snap.Close()
	return snap.Check(t.Context(), boltstore.CheckOptions{})
}

func TestOpenSnapshotRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		make func(t *testing.T, path string)
		want error
	}{
		"a store that is open": {func(t *testing.T, path string) { mustOpen(t, boltstore.Options{Path: path}) }, boltstore.ErrInUse},
		"nothing":              {func(*testing.T, string) {}, os.ErrNotExist},
		"an empty file":        {func(t *testing.T, path string) { write(t, path, nil) }, boltstore.ErrEmpty},
		"text":                 {func(t *testing.T, path string) { write(t, path, bytes.Repeat([]byte("text\n"), 10_000)) }, boltstore.ErrDamaged},
	} {
		t.Run(name, func(t *testing.T) {
			path := tempPath(t)
			test.make(t, path)
			if _, err := boltstore.OpenSnapshot(path); !errors.Is(err, test.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("the error is %v, want %v", err, test.want)
			}
		})
	}
}

func TestCheckRefusesWhatIsNotItsFormat(t *testing.T) {
	for name, test := range map[string]struct {
		change func(tx *bbolt.Tx) error
		want   error
	}{
		"foreign": {func(tx *bbolt.Tx) error { _, err := tx.CreateBucket([]byte("theirs")); return err }, boltstore.ErrForeign},
		"newer":   {func(tx *bbolt.Tx) error { return setFormat(tx, "99") }, boltstore.ErrNewer},
	} {
		t.Run(name, func(t *testing.T) {
			path := tempPath(t)
			update(t, path, test.change)
			if _, err := mustSnapshot(t, path).Check(t.Context(), boltstore.CheckOptions{}); !errors.Is(err, test.want) {
				t.Errorf("the error is %v, want %v", err, test.want)
			}
		})
	}
}

// TestReadersHoldNobodyUp reads a file while it grows to a multiple of its size.
func TestReadersHoldNobodyUp(t *testing.T) {
	s := mustOpen(t, boltstore.Options{Path: filepath.Join(t.TempDir(), "outcry.db")})
	mustCommit(t, s, put("before", "1"))
	snap, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		mustCommit(t, s, put(fmt.Sprint("meanwhile/", i), strings.Repeat("v", 1<<20)))
	}
	r := mustCheck(t, snap, boltstore.CheckOptions{})
	if err := r.Err(); err != nil || r.Spaces[storage.SpaceRetained].Keys != 1 {
		t.Errorf("it is %v, with %+v", err, r.Spaces)
	}
	if err := snap.Close(); err != nil {
		t.Error(err)
	}
}

func TestCloseEndsReaders(t *testing.T) {
	s := mustOpen(t, boltstore.Options{Path: tempPath(t)})
	mustCommit(t, s, put("a", "1"))
	snap, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	closed := make(chan error)
	_, err = snap.Check(t.Context(), boltstore.CheckOptions{Content: []boltstore.ContentCheck{
		func(from storage.Loader, _ func(error)) error {
			go func() { closed <- s.Close() }()
			eventually(t, "the copy ends", func() bool {
				_, err := snap.WriteTo(new(bytes.Buffer))
				return errors.Is(err, boltstore.ErrClosed)
			})
			return nil
		},
	}})
	if err := errors.Join(err, snap.Close(), <-closed); err != nil {
		t.Error(err)
	}
	if _, err := s.Snapshot(); !errors.Is(err, boltstore.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}
