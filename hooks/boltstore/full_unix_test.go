//go:build unix

package boltstore_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/broker/storage"
	"github.com/outcry-mqtt/outcry/hooks/boltstore"
)

func numbered(n int) string { return string(binary.BigEndian.AppendUint64(nil, uint64(n))) }

func message(n, size int) storage.Op {
	return storage.Op{Space: storage.SpaceMessages, Key: numbered(n), Value: []byte(strings.Repeat("m", size))}
}

func deletion(n int) storage.Op {
	return storage.Op{Space: storage.SpaceMessages, Key: numbered(n), Delete: true}
}

func flow(session, size int) storage.Op {
	return storage.Op{Space: storage.SpaceFlows, Key: numbered(session), Value: []byte(strings.Repeat("f", size))}
}

func session(id string) storage.Op {
	return storage.Op{Space: storage.SpaceSessions, Key: id, Value: []byte(strings.Repeat("s", 50))}
}

// fillUp stores messages of a size until the disk is full, and returns their number.
func fillUp(t *testing.T, s *boltstore.Store, size int) (n int) {
	t.Helper()
	for n < 1_000_000 {
		var some []storage.Op
		for i := range max(1, 64<<10/size) {
			some = append(some, message(n+i, size))
		}
		if err := commit(s, some...); err != nil {
			if !s.DiskFull() || s.Err() == nil {
				t.Fatalf("a commit failed with %v; full %v, Err %v", err, s.DiskFull(), s.Err())
			}
			return n
		}
		n += len(some)
	}
	t.Fatal("the disk is not full")
	return 0
}

// TestFullDiskIsDrained acknowledges and deletes arbitrary messages, a few at a time, until there is space again;
// halfway through the store is reopened.
func TestFullDiskIsDrained(t *testing.T) {
	if !alone(t) {
		return
	}
	for _, size := range []int{200, 3000, 60_000, 1 << 20} {
		t.Run(fmt.Sprint(size, " bytes"), func(t *testing.T) {
			path := tempPath(t)
			var log strings.Builder
			o := boltstore.Options{Path: path, CommitInterval: -1, Logger: slog.New(slog.NewTextHandler(&log, nil))}
			s := mustOpen(t, o)
			mustCommit(t, s, message(1_000_000, size), session("a"))
			lift := limitFileSize(t, int64(max(4<<20, 16*size)))
			defer lift()
			n := fillUp(t, s, size)
			left := rand.New(rand.NewPCG(1, 2)).Perm(n)
			drain := func(count int) {
				t.Helper()
				for i := 0; count > 0 && len(left) > 0 && s.DiskFull(); i++ {
					some := []storage.Op{flow(1, 2000*(i%2)), session("a")}
					few := min(max(1, 4096/size), count, len(left))
					for _, n := range left[:few] {
						some = append(some, deletion(n))
					}
					if err := commit(s, some...); err != nil {
						t.Fatalf("with %d of %d messages left: %v", len(left), n, err)
					}
					left, count = left[few:], count-few
				}
			}
			mustCommit(t, s, session("b"), flow(2, 10))
			failures := s.Stats().Failures
			eventually(t, "it was tried again", func() bool {
				if s.Err() == nil || !s.DiskFull() {
					t.Fatal("it says that all is well")
				}
				mustCommit(t, s)
				return s.Stats().Failures > failures+2
			})
			if err := commit(s, message(n, size)); err == nil {
				t.Error("there was room for a message")
			}
			drain(min(100, n/4))
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if text := log.String(); strings.Count(text, "cannot write") != 1 || strings.Contains(text, "writes again") {
				t.Errorf("the log is\n%s", text)
			}

			log.Reset()
			s = mustOpen(t, o)
			eventually(t, "there is room again", func() bool {
				drain(max(1, n/20))
				return s.Err() == nil && commit(s, message(n, size)) == nil
			})
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			checkFile(t, path)
		})
	}
}

// TestFullDiskTakesRecords creates sessions on a full disk, for which half of the reserve is available.
func TestFullDiskTakesRecords(t *testing.T) {
	if !alone(t) {
		return
	}
	s := mustOpen(t, boltstore.Options{Path: tempPath(t), CommitInterval: -1})
	mustCommit(t, s, message(1_000_000, 200))
	lift := limitFileSize(t, 4<<20)
	defer lift()
	n := fillUp(t, s, 200)
	taken := 0
	for ; taken < 1_000_000; taken += 100 {
		var some []storage.Op
		for i := range 100 {
			some = append(some, session(fmt.Sprint("session ", taken+i)))
		}
		if err := commit(s, some...); err != nil {
			break
		}
	}
	if taken < 500 || taken == 1_000_000 {
		t.Errorf("%d sessions were taken", taken)
	}
	mustCommit(t, s, session("session 0")) // an existing one may change
	for i := 0; i < n; i += 50 {
		var some []storage.Op
		for j := range 50 {
			some = append(some, deletion(i+j))
		}
		mustCommit(t, s, some...)
	}
	eventually(t, "there is room again", func() bool { return !s.DiskFull() })
}

// TestFullDiskDeletesLater deletes by Later, like expiry does.
func TestFullDiskDeletesLater(t *testing.T) {
	if !alone(t) {
		return
	}
	s := mustOpen(t, boltstore.Options{Path: tempPath(t), Window: -1, CommitInterval: -1})
	mustCommit(t, s, put("kept", "1"), put("expired", "1"))
	lift := limitFileSize(t, 4<<20)
	defer lift()
	fillUp(t, s, 200)
	s.Later(storage.Op{Space: storage.SpaceRetained, Key: "expired", Delete: true})
	s.Later(put("kept", "2"))
	eventually(t, "it is deleted", func() bool {
		_, there := load(t, s)["expired"]
		return !there
	})
	if got := load(t, s); got["kept"] != "1" || !s.DiskFull() {
		t.Errorf("full %v, kept %s", s.DiskFull(), got["kept"])
	}
	lift()
	eventually(t, "the rest is written", func() bool { return load(t, s)["kept"] == "2" })
	eventually(t, "nothing waits", func() bool { return s.Stats().Pending == 0 && s.Stats().PendingBytes == 0 })
}

// TestFullDiskDeletesMuchAtOnce deletes every second message, so that nearly every page is rewritten.
func TestFullDiskDeletesMuchAtOnce(t *testing.T) {
	if !alone(t) {
		return
	}
	s := mustOpen(t, boltstore.Options{Path: tempPath(t), CommitInterval: -1})
	mustCommit(t, s, message(1_000_000, 200))
	lift := limitFileSize(t, 8<<20)
	defer lift()
	n := fillUp(t, s, 200)
	all := []storage.Op{flow(1, 1000)}
	for i := 0; i < n; i += 2 {
		all = append(all, deletion(i))
	}
	mustCommit(t, s, all...)
	left := 0
	err := s.Load(storage.SpaceMessages, func(string, []byte) error {
		left++
		return nil
	})
	if want := n/2 + 1; err != nil || left != want {
		t.Errorf("%d of %d messages are left, want %d; %v", left, n, want, err)
	}
}

// TestCommitThatChangesMorePagesThanTheReserve rewrites nearly every page of a store, on a disk with space.
func TestCommitThatChangesMorePagesThanTheReserve(t *testing.T) {
	s := mustOpen(t, boltstore.Options{Path: tempPath(t)})
	const n = 300_000
	var some, few []storage.Op
	for i := range n {
		if i%10 == 0 {
			few = append(few, deletion(i))
		}
		if some = append(some, message(i, 100)); len(some) == 5000 {
			mustCommit(t, s, some...)
			some = nil
		}
	}
	mustCommit(t, s, few...)
	if s.DiskFull() || s.Err() != nil || s.Stats().Failures != 0 {
		t.Errorf("full %v, Err %v, %+v", s.DiskFull(), s.Err(), s.Stats())
	}
}

// TestFullDiskKeepsAnUndoWhole looks at the file while a commit with an atomic deletion is written to a full disk.
func TestFullDiskKeepsAnUndoWhole(t *testing.T) {
	if !alone(t) {
		return
	}
	s := mustOpen(t, boltstore.Options{Path: tempPath(t), CommitInterval: -1})
	mustCommit(t, s, message(1_000_000, 200), flow(1, 10))
	lift := limitFileSize(t, 4<<20)
	defer lift()
	if n := fillUp(t, s, 200); n < 64 || !s.DiskFull() {
		t.Fatalf("not full after %d messages", n)
	}
	done := make(chan error, 1)
	undo := deletion(0)
	undo.Atomic = true
	s.Commit([]storage.Op{flow(1, 20), undo}, func(err error) { done <- err })
	for ended := false; !ended; {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			ended = true
		default:
		}
		snapshot, err := s.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		written, exists := false, false
		err = errors.Join(
			snapshot.Load(storage.SpaceFlows, func(_ string, value []byte) error { written = written || len(value) == 20; return nil }),
			snapshot.Load(storage.SpaceMessages, func(key string, _ []byte) error { exists = exists || key == numbered(0); return nil }),
		)
		snapshot.Close()
		if err != nil {
			t.Fatal(err)
		}
		if written && exists {
			t.Fatal("the new flow is there, and still the message that the same commit deletes")
		}
	}
}
