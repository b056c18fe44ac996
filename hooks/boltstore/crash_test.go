package boltstore_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/hooks/boltstore"
)

// childEnv makes this test binary a process that writes to the named store until it is killed.
const childEnv = "OUTCRY_TEST_STORE"

// compactEnv in addition makes that process compact the store continuously; alone, it compacts the named file.
const compactEnv = "OUTCRY_TEST_COMPACT"

func compactForEver(s *boltstore.Store) {
	for {
		if _, err := s.Compact(context.Background(), boltstore.CompactOptions{}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

// compactUntilKilled compacts a file repeatedly, and prints a line before each time.
func compactUntilKilled(path string) {
	for {
		fmt.Println("compacting")
		if _, err := boltstore.CompactFile(context.Background(), path, boltstore.CompactOptions{}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

// writeUntilKilled commits keys of its own from several goroutines and prints each acknowledged key.
func writeUntilKilled(path string) {
	s, err := boltstore.Open(boltstore.Options{Path: path})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if os.Getenv(compactEnv) != "" {
		go compactForEver(s)
	}
	var printing sync.Mutex
	for writer := range 8 {
		go func() {
			for i := 0; ; i++ {
				key := fmt.Sprintf("%d/%d/%d", os.Getpid(), writer, i)
				s.Later(put("later/"+key, key))
				if err := commit(s, put(key, valueOf(key)), put("shared", key)); err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				printing.Lock()
				fmt.Println(key)
				printing.Unlock()
			}
		}()
	}
	select {}
}

// valueOf returns some 2 KB that depend on key.
func valueOf(key string) string { return strings.Repeat(key+"|", 2000/len(key)) }

func TestKilledProcessLosesNothingAcknowledged(t *testing.T) {
	for name, env := range map[string]string{"writing": "", "and compacting": compactEnv + "=1"} {
		t.Run(name, func(t *testing.T) { killAndLookAfter(t, env) })
	}
}

func killAndLookAfter(t *testing.T, env string) {
	path := tempPath(t)
	acknowledged := make(map[string]bool)
	for round := range 10 {
		before := len(acknowledged)
		runAndKill(t, []string{childEnv + "=" + path, env}, time.Duration(20+rand.IntN(150))*time.Millisecond, acknowledged)
		if t.Failed() {
			return
		}
		s, err := boltstore.Open(boltstore.Options{Path: path})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		got := load(t, s)
		for key := range acknowledged {
			if got[key] != valueOf(key) {
				t.Fatalf("round %d: %s was acknowledged and is %.20q...", round, key, got[key])
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		checkFile(t, path)
		t.Logf("round %d: %d acknowledged, %d found", round, len(acknowledged)-before, len(got))
	}
	if len(acknowledged) == 0 {
		t.Error("nothing was acknowledged in any round")
	}
}

// runAndKill runs a child for some time after its first acknowledgement and adds its acknowledged keys.
func runAndKill(t *testing.T, env []string, after time.Duration, acknowledged map[string]bool) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), env...)
	var stderr strings.Builder
	child.Stderr = &stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var kill *time.Timer
	for lines := bufio.NewReader(out); ; {
		line, err := lines.ReadString('\n')
		if err != nil {
			break // a truncated line is no acknowledgement
		}
		if kill == nil {
			kill = time.AfterFunc(after, func() { child.Process.Kill() })
		}
		acknowledged[strings.TrimSuffix(line, "\n")] = true
	}
	if err := child.Wait(); kill == nil {
		t.Errorf("the child ended by itself: %v: %s", err, stderr.String())
	}
}

func TestKilledCompactionLosesNothing(t *testing.T) {
	path := tempPath(t)
	write(t, path, storeFile(t))
	for range 15 {
		after := time.Duration(rand.IntN(int(80 * time.Millisecond)))
		runAndKill(t, []string{compactEnv + "=" + path}, after, make(map[string]bool))
		if t.Failed() {
			return
		}
		if err := checkStore(t, path).Err(); err != nil {
			t.Fatal(err)
		}
		names, err := os.ReadDir(filepath.Dir(path))
		t.Logf("killed after %v: %v, %v", after, names, err)
	}
	s := mustOpen(t, boltstore.Options{Path: path})
	wantPairs(t, load(t, s), filePairs)
	if names, err := os.ReadDir(filepath.Dir(path)); err != nil || len(names) != 1 {
		t.Errorf("the start has left %v, %v", names, err)
	}
}

func TestEmptyFileOfAProcessThatEndedEarly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "folder", "outcry.db")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := mustOpen(t, boltstore.Options{Path: path})
	mustCommit(t, s, put("a", "1"))
	wantPairs(t, load(t, s), map[string]string{"a": "1"})
}
