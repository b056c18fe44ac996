//go:build unix

package boltstore_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker/storage"
	"github.com/outcry-mqtt/outcry/hooks/boltstore"
	"golang.org/x/sys/unix"
)

// aloneEnv makes this test binary run one test only.
const aloneEnv = "OUTCRY_TEST_ALONE"

// alone runs the test in a process of its own, in which it returns true. The limit on file sizes applies to the whole
// process, and so to the files that go test itself writes during tests.
func alone(t *testing.T) bool {
	t.Helper()
	if os.Getenv(aloneEnv) != "" {
		return true
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), aloneEnv+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

// limitFileSize makes the system refuse to grow a file beyond size, like a full disk, until the returned function is
// called.
func limitFileSize(tb testing.TB, size int64) (lift func()) {
	tb.Helper()
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &old); err != nil {
		tb.Fatal(err)
	}
	limited := old
	limited.Cur = uint64(size)
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limited); err != nil {
		tb.Fatal(err)
	}
	lift = sync.OnceFunc(func() {
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &old); err != nil {
			tb.Error(err)
		}
	})
	tb.Cleanup(lift)
	return lift
}

func TestFullDisk(t *testing.T) {
	if !alone(t) {
		return
	}
	path := tempPath(t)
	var log strings.Builder // written by the store's goroutine, read after Close
	s := mustOpen(t, boltstore.Options{
		Path:            path,
		Window:          time.Millisecond,
		MaxPendingBytes: 1 << 20,
		Logger:          slog.New(slog.NewTextHandler(&log, nil)),
	})
	mustCommit(t, s, put("before", "1"))
	lift := limitFileSize(t, fileSize(t, path))

	large := strings.Repeat("v", 256<<10)
	if err := commit(s, put("refused", large)); err == nil {
		t.Fatal("a commit on a full disk was acknowledged")
	}
	if err := s.Err(); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("Err returned %v", err)
	}
	s.Later(put("later", "1"))
	s.Later(put("later", large))
	s.Later(put("overtaken", "by a commit"))
	for i := range 10 {
		s.Later(put(fmt.Sprint("too many/", i), large))
	}
	eventually(t, "it was tried again", func() bool { return s.Stats().Failures > 1 })
	if err := commit(s, put("refused", large)); err == nil {
		t.Error("a second commit on a full disk was acknowledged")
	}
	if got := s.Stats(); got.Dropped == 0 || got.Pending == 0 || got.PendingBytes > 1<<20 {
		t.Errorf("with a full disk: %+v", got)
	}

	lift()
	eventually(t, "a commit succeeds", func() bool { return commit(s, put("overtaken", "by this")) == nil })
	eventually(t, "it writes again", func() bool { return s.Err() == nil && s.Stats().Pending == 0 })
	mustCommit(t, s, put("after", large))
	got := load(t, s)
	if got["before"] != "1" || got["later"] != large || got["after"] != large || got["refused"] != "" ||
		got["overtaken"] != "by this" {
		t.Errorf("the store has %.2000q", got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if strings.Count(log.String(), "cannot write") != 1 || strings.Count(log.String(), "writes again") != 1 {
		t.Errorf("the log does not tell of one failure and one recovery:\n%s", log.String())
	}
}

func TestFullDiskRecoversWithoutBeingUsed(t *testing.T) {
	if !alone(t) {
		return
	}
	path := tempPath(t)
	s := mustOpen(t, boltstore.Options{Path: path})
	lift := limitFileSize(t, fileSize(t, path))
	if err := commit(s, put("a", strings.Repeat("v", 256<<10))); err == nil {
		t.Fatal("a commit on a full disk was acknowledged")
	}
	lift()
	eventually(t, "it has noticed", func() bool { return s.Err() == nil })
}

// TestStalledDisk stops the writer by a Load that does not end: bbolt cannot map a larger file while it is read.
func TestStalledDisk(t *testing.T) {
	boltstore.SetStallTime(t, 10*time.Millisecond)
	boltstore.SetMapBytes(t, 0)
	s := mustOpen(t, boltstore.Options{Path: tempPath(t)})
	mustCommit(t, s, put("a", "1"))
	committed := make(chan error, 1)
	err := s.Load(storage.SpaceRetained, func(string, []byte) error {
		s.Commit(ops(put("large", strings.Repeat("v", 1<<20))), func(err error) { committed <- err })
		eventually(t, "Err tells of it", func() bool {
			err := s.Err()
			return err != nil && strings.Contains(err.Error(), "has not answered")
		})
		return nil
	})
	if err := errors.Join(err, <-committed, s.Err()); err != nil {
		t.Error(err)
	}
}

func TestCloseTellsWhatIsLost(t *testing.T) {
	if !alone(t) {
		return
	}
	path := tempPath(t)
	s, err := boltstore.Open(boltstore.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	mustCommit(t, s, put("before", "1"))
	lift := limitFileSize(t, fileSize(t, path))
	large := strings.Repeat("v", 256<<10)
	s.Later(put("a", large))
	s.Later(put("b", large))
	committed := make(chan error, 1)
	s.Commit(ops(put("c", large)), func(err error) { committed <- err })
	err = s.Close()
	lift()
	if err == nil || !strings.Contains(err.Error(), "2 changes could not be written") {
		t.Errorf("Close returned %v", err)
	}
	if !errors.Is(err, unix.EFBIG) && !strings.Contains(err.Error(), unix.EFBIG.Error()) {
		t.Errorf("Close returned %v, without the reason", err)
	}
	if err := <-committed; err == nil {
		t.Error("the commit was acknowledged")
	}
	checkFile(t, path)
	wantPairs(t, load(t, mustOpen(t, boltstore.Options{Path: path})), map[string]string{"before": "1"})
}

func TestCompactOnAFullDisk(t *testing.T) {
	if !alone(t) {
		return
	}
	path := tempPath(t)
	want := sparse(t, path)
	s := mustOpen(t, boltstore.Options{Path: path})
	lift := limitFileSize(t, 64<<10)
	if _, err := s.Compact(t.Context(), boltstore.CompactOptions{}); err == nil || !strings.Contains(err.Error(), unix.EFBIG.Error()) {
		t.Errorf("the error is %v", err)
	}
	lift()
	if err := s.Err(); err != nil {
		t.Errorf("the store has failed: %v", err)
	}
	mustCommit(t, s, put("after", "1"))
	want["after"] = "1"
	wantPairs(t, load(t, s), want)
	if _, err := os.Stat(path + ".compact"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it left a part of the new file: %v", err)
	}
	if _, err := s.Compact(t.Context(), boltstore.CompactOptions{}); err != nil {
		t.Error(err)
	}
}
