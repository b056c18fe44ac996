package boltstore_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outcry-mqtt/outcry/hooks/boltstore"
)

func TestLaterIsWrittenWithinItsWindow(t *testing.T) {
	path := tempPath(t)
	synctest.Test(t, func(t *testing.T) {
		s := mustOpen(t, boltstore.Options{Path: path, Window: time.Second})
		for i := range 100 {
			s.Later(put("a", fmt.Sprint(i)))
		}
		time.Sleep(time.Second - 1)
		synctest.Wait()
		if got := s.Stats(); got.Commits != 0 || got.Pending != 1 {
			t.Fatalf("before the window ends: %+v", got)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if got := s.Stats(); got.Commits != 1 || got.Ops != 1 || got.Pending != 0 || got.PendingBytes != 0 {
			t.Fatalf("when the window has ended: %+v", got)
		}
		wantPairs(t, load(t, s), map[string]string{"a": "99"})

		// A window begins with the first op, not with the end of the last window.
		time.Sleep(10*time.Second + 500*time.Millisecond)
		s.Later(del("a"))
		time.Sleep(time.Second - 1)
		synctest.Wait()
		if got := s.Stats(); got.Commits != 1 {
			t.Fatalf("before the second window ends: %+v", got)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		wantPairs(t, load(t, s), nil)
	})
}

func TestCommitWinsOverAnEarlierLater(t *testing.T) {
	path := tempPath(t)
	synctest.Test(t, func(t *testing.T) {
		s := mustOpen(t, boltstore.Options{Path: path})
		s.Later(put("a", "later"))
		s.Later(put("b", "later"))
		mustCommit(t, s, put("a", "commit"))
		if got := s.Stats(); got.Pending != 1 {
			t.Errorf("%d ops wait after the commit, want b's", got.Pending)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		wantPairs(t, load(t, s), map[string]string{"a": "commit", "b": "later"})
	})
}

// A long window is sorted while commits go on; they win over its ops of the same keys.
func TestCommitsWinOverALongWindow(t *testing.T) {
	const keys = 100_000
	path := tempPath(t)
	s := mustOpen(t, boltstore.Options{Path: path, Window: 100 * time.Millisecond})
	for i := range keys {
		s.Later(put(fmt.Sprint(i), "later"))
	}
	commits := 0
	for ; s.Stats().Pending > 0; commits++ { // before, while and after it is sorted
		mustCommit(t, s, put(fmt.Sprint(commits), "commit"))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	got := load(t, mustOpen(t, boltstore.Options{Path: path}))
	for i := range commits {
		if v := got[fmt.Sprint(i)]; v != "commit" {
			t.Fatalf("of %d commits number %d was replaced by an earlier op, %q", commits, i, v)
		}
	}
	if len(got) != keys {
		t.Errorf("%d keys, want %d", len(got), keys)
	}
}

func TestLaterWinsOverAnEarlierCommit(t *testing.T) {
	path := tempPath(t)
	synctest.Test(t, func(t *testing.T) {
		s := mustOpen(t, boltstore.Options{Path: path})
		mustCommit(t, s, put("a", "commit"))
		s.Later(put("a", "later"))
		time.Sleep(2 * time.Second)
		synctest.Wait()
		wantPairs(t, load(t, s), map[string]string{"a": "later"})

		// The same in one transaction: both wait when the store closes.
		s.Commit(nil, func(error) {})
		s.Later(put("b", "1"))
		s.Commit(ops(put("b", "2")), func(error) {})
		s.Commit(ops(put("c", "1")), func(error) {})
		s.Later(put("c", "2"))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		again := mustOpen(t, boltstore.Options{Path: path})
		wantPairs(t, load(t, again), map[string]string{"a": "later", "b": "2", "c": "2"})
	})
}

func TestCommitsGather(t *testing.T) {
	path := tempPath(t)
	synctest.Test(t, func(t *testing.T) {
		s := mustOpen(t, boltstore.Options{Path: path, CommitInterval: 10 * time.Millisecond, MaxOps: 50})
		var acknowledged atomic.Int64
		for i := range 49 {
			s.Commit(ops(put(fmt.Sprint(i), "")), func(error) { acknowledged.Add(1) })
		}
		time.Sleep(10*time.Millisecond - 1)
		synctest.Wait()
		if n := acknowledged.Load(); n != 0 {
			t.Errorf("%d commits did not wait for the interval", n)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if n, got := acknowledged.Load(), s.Stats(); n != 49 || got.Commits != 1 {
			t.Errorf("%d commits in %d transactions, want 49 in 1", n, got.Commits)
		}
		for i := range 50 {
			s.Commit(ops(put(fmt.Sprint(i), "")), func(error) { acknowledged.Add(1) })
		}
		synctest.Wait() // no time passes
		if n, got := acknowledged.Load(), s.Stats(); n != 99 || got.Commits != 2 {
			t.Errorf("%d commits in %d transactions, want 99 in 2", n, got.Commits)
		}
	})
}

func TestManyLaterOpsAreWrittenEarly(t *testing.T) {
	path := tempPath(t)
	synctest.Test(t, func(t *testing.T) {
		s := mustOpen(t, boltstore.Options{Path: path, Window: time.Hour, MaxPendingBytes: 4 << 20})
		for i := range 20_000 {
			s.Later(put(fmt.Sprintf("ticker/%d", i), "1"))
			if i%1000 == 0 {
				synctest.Wait()
			}
		}
		synctest.Wait()
		got := s.Stats()
		if got.Dropped != 0 || got.Ops == 0 || int(got.Ops)+int(got.Pending) != 20_000 {
			t.Errorf("of 20,000 later ops: %+v", got)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if n := len(load(t, mustOpen(t, boltstore.Options{Path: path}))); n != 20_000 {
			t.Errorf("the store has %d keys", n)
		}
	})
}
