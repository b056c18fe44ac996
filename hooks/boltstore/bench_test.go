package boltstore_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker/storage"
	"github.com/outcry-mqtt/outcry/hooks/boltstore"
)

// BenchmarkCommit measures commits of one op each, by a number of callers that each wait for their own.
func BenchmarkCommit(b *testing.B) {
	for _, callers := range []int{1, 100, 2000} {
		b.Run(fmt.Sprint("callers=", callers), func(b *testing.B) {
			s := mustOpen(b, boltstore.Options{Path: tempPath(b)})
			value := make([]byte, 100)
			var work sync.WaitGroup
			turns := make(chan int)
			for range callers {
				work.Go(func() {
					for i := range turns {
						op := storage.Op{Key: fmt.Sprint("ticker/", i%10_000), Value: value}
						if err := commit(s, op); err != nil {
							b.Error(err)
						}
					}
				})
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				turns <- i
			}
			close(turns)
			work.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
			b.ReportMetric(float64(s.Stats().Ops)/float64(s.Stats().Commits), "ops/sync")
		})
	}
}

// BenchmarkLater measures Later with 500 different keys.
func BenchmarkLater(b *testing.B) {
	s := mustOpen(b, boltstore.Options{Path: tempPath(b)})
	keys := make([]string, 500)
	for i := range keys {
		keys[i] = fmt.Sprint("ticker/", i)
	}
	value := make([]byte, 100)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		s.Later(storage.Op{Key: keys[i%len(keys)], Value: value})
	}
}

// BenchmarkRestore measures opening a store of a million keys and loading them.
func BenchmarkRestore(b *testing.B) {
	const keys = 1_000_000
	path := tempPath(b)
	start := time.Now()
	fill(b, path, keys)
	b.Logf("%d keys were written in %s", keys, time.Since(start))
	for b.Loop() {
		start := time.Now()
		s, err := boltstore.Open(boltstore.Options{Path: path})
		if err != nil {
			b.Fatal(err)
		}
		opened := time.Since(start)
		n := 0
		err = s.Load(storage.SpaceRetained, func(string, []byte) error { n++; return nil })
		if err != nil || n != keys {
			b.Fatalf("%d keys, %v", n, err)
		}
		b.ReportMetric(opened.Seconds(), "open-s")
		b.ReportMetric((time.Since(start) - opened).Seconds(), "load-s")
		b.ReportMetric(float64(s.Stats().FileBytes)/(1<<20), "MiB")
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func fill(b *testing.B, path string, keys int) {
	s, err := boltstore.Open(boltstore.Options{Path: path, MaxPendingBytes: 1 << 30})
	if err != nil {
		b.Fatal(err)
	}
	value := make([]byte, 64)
	for i := range keys {
		s.Later(storage.Op{Key: fmt.Sprint("ticker/", i*7919%keys), Value: value})
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkCommitBesideFreePages measures commits to a mostly free file, as after clearing a million retained
// messages.
func BenchmarkCommitBesideFreePages(b *testing.B) {
	const keys = 1_000_000
	path := tempPath(b)
	fill(b, path, keys)
	s := mustOpen(b, boltstore.Options{Path: path, MaxPendingBytes: 1 << 30})
	for from := 0; from < keys; from += 50_000 {
		var ops []storage.Op
		for i := from; i < from+50_000; i++ {
			ops = append(ops, del(fmt.Sprint("ticker/", i)))
		}
		mustCommit(b, s, ops...)
	}
	b.ResetTimer()
	for b.Loop() {
		mustCommit(b, s, put("ticker/1", "1"))
	}
}

// BenchmarkLookAfter measures checking, copying and compacting an open store of a million keys.
func BenchmarkLookAfter(b *testing.B) {
	path := tempPath(b)
	fill(b, path, 1_000_000)
	s := mustOpen(b, boltstore.Options{Path: path})
	snap, err := s.Snapshot()
	if err != nil {
		b.Fatal(err)
	}
	b.Run("check", func(b *testing.B) {
		for b.Loop() {
			if r, err := snap.Check(b.Context(), boltstore.CheckOptions{}); err != nil || r.Err() != nil {
				b.Fatal(err, r)
			}
		}
	})
	b.Run("backup", func(b *testing.B) {
		for b.Loop() {
			to := boltstore.BackupOptions{Path: path + ".backup", Replace: true}
			if _, err := boltstore.SaveBackup(b.Context(), to, fillFrom(snap)); err != nil {
				b.Fatal(err)
			}
		}
	})
	if err := snap.Close(); err != nil {
		b.Fatal(err)
	}
	b.Run("compact", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.Compact(b.Context(), boltstore.CompactOptions{}); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(s.Stats().FileBytes)/(1<<20), "MiB")
	})
}
