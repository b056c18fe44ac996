package boltstore_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/broker/storage"
	"github.com/outcry-mqtt/outcry/hooks/boltstore"
)

func TestLoadRefusesADamagedValue(t *testing.T) {
	path := tempPath(t)
	value := filePairs["ticker/7"]
	damaged := strings.Replace(value, "p", "q", 1)
	write(t, path, bytes.ReplaceAll(storeFile(t), []byte(value), []byte(damaged)))
	s := mustOpen(t, boltstore.Options{Path: path})
	err := s.Load(storage.SpaceRetained, func(string, []byte) error { return nil })
	if !errors.Is(err, boltstore.ErrDamaged) || !strings.Contains(err.Error(), "ticker/7") {
		t.Errorf("Load returned %v", err)
	}
}

// TestDamageIsNeverMisread damages a file in many ways. It may be refused, and a damaged page may be unused; but only
// written pairs are loaded, and the process must not crash.
func TestDamageIsNeverMisread(t *testing.T) {
	whole := storeFile(t)
	path := tempPath(t)
	random := rand.New(rand.NewPCG(1, 2))
	refused := 0
	const rounds = 150
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

// TestTornMetaPage simulates a crash while one of the two meta pages was written: the file has then the state before
// or after that commit.
func TestTornMetaPage(t *testing.T) {
	for _, page := range []int{0, 1} {
		t.Run(fmt.Sprint("page ", page), func(t *testing.T) {
			path := tempPath(t)
			s := mustOpen(t, boltstore.Options{Path: path})
			mustCommit(t, s, put("a", "1"))
			mustCommit(t, s, put("b", "2"))
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			file, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			clear(file[page*os.Getpagesize():][24:100])
			write(t, path, file)
			again := mustOpen(t, boltstore.Options{Path: path})
			got := load(t, again)
			if got["a"] != "1" || got["b"] != "" && got["b"] != "2" {
				t.Errorf("the store has %q", got)
			}
			mustCommit(t, again, put("c", "3"))
		})
	}
}

// TestReopenAfterChurn checks that no file written by bbolt is taken for a damaged one.
func TestReopenAfterChurn(t *testing.T) {
	path := tempPath(t)
	random := rand.New(rand.NewPCG(3, 4))
	want := make(map[string]string)
	for range 10 {
		s := mustOpen(t, boltstore.Options{Path: path})
		wantPairs(t, load(t, s), want)
		for range 15 {
			mustCommit(t, s, churn(random, want)...)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// churn returns changes, which it also applies to pairs: at times mostly new keys, at others mostly deletions.
func churn(random *rand.Rand, pairs map[string]string) (ops []storage.Op) {
	deletes := random.IntN(10)
	for range random.IntN(200) {
		key := strings.Repeat(fmt.Sprint("k", random.IntN(2000)), 1+random.IntN(3))
		if random.IntN(10) < deletes {
			delete(pairs, key)
			ops = append(ops, del(key))
			continue
		}
		pairs[key] = strings.Repeat("v", random.IntN(300))
		ops = append(ops, put(key, pairs[key]))
	}
	return ops
}

// swapBranchKeys exchanges the first two elements of every branch page.
func swapBranchKeys(file []byte) []byte {
	const header, element, branch = 16, 16, 1
	for at := 0; at < len(file); at += os.Getpagesize() {
		page := file[at:]
		if binary.NativeEndian.Uint16(page[8:]) != branch || binary.NativeEndian.Uint16(page[10:]) < 2 {
			continue
		}
		first, second := page[header:header+element], page[header+element:header+2*element]
		for i := range element {
			first[i], second[i] = second[i], first[i]
		}
		// An offset is relative to its element.
		binary.NativeEndian.PutUint32(first, binary.NativeEndian.Uint32(first)+element)
		binary.NativeEndian.PutUint32(second, binary.NativeEndian.Uint32(second)-element)
	}
	return file
}

// damage flips a bit, overwrites some bytes, or truncates the file. It prefers bbolt's own structures.
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
	err = s.Load(storage.SpaceRetained, func(key string, value []byte) error {
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

// FuzzDamage writes patch over a store's file at offset at, and truncates it to size bytes if it is longer.
func FuzzDamage(f *testing.F) {
	addCorpus(f)
	whole := storeFile(f)
	pageSize := os.Getpagesize()
	f.Add(0, []byte{}, len(whole))
	f.Add(3*pageSize+8, []byte{1, 0}, len(whole))
	f.Add(4*pageSize+16, []byte{255, 255, 255, 255, 255, 255, 255, 255}, len(whole))
	f.Add(0, []byte{}, 5*pageSize)
	f.Fuzz(func(t *testing.T, at int, patch []byte, size int) {
		file := append([]byte(nil), whole...)
		if at >= 0 && at < len(file) {
			copy(file[at:], patch)
		}
		if size >= 0 && size < len(file) {
			file = file[:size]
		}
		path := tempPath(t)
		write(t, path, file)
		loadDamaged(t, path)
	})
}

// filePairs are the pairs in storeFile.
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
	return withoutReserve(file)
}

// withoutReserve returns a file without the empty pages at its end.
func withoutReserve(file []byte) []byte {
	page := os.Getpagesize()
	used := len(bytes.TrimRight(file, "\x00"))
	return file[:min((used+page-1)/page*page, len(file))]
}
