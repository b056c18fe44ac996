package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/tests/crash/disk"
)

// outcry is the program under test, built once for all tests.
var outcry string

// TestMain runs the program itself when that starts itself again.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == disk.CommandFiltered || os.Args[1] == disk.CommandInside) {
		main()
	}
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	folder, err := os.MkdirTemp("", "outcry-crash-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(folder)
	outcry = filepath.Join(folder, "outcry")
	if err := build(context.Background(), outcry); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// crash runs the program, and returns its exit status and output.
func crash(t *testing.T, args ...string) (status int, out string) {
	t.Helper()
	var b strings.Builder
	status = execute(t.Context(), args, &b)
	t.Logf("crash %v: exit status %d\n%s", args, status, b.String())
	return status, b.String()
}

// TestCrash is a short make crash.
func TestCrash(t *testing.T) {
	for name, args := range map[string][]string{
		"good disk": {"--rounds", "10"}, "full disk": {"--rounds", "3", "--disk", "full"}, "bad disk": {"--rounds", "3", "--disk", "errors"},
	} {
		t.Run(name, func(t *testing.T) {
			if status, _ := crash(t, append(args, "--outcry", outcry, "--clients", "20")...); status != 0 {
				t.Errorf("exit status %d, want 0", status)
			}
		})
	}
}

// A store restored to its state of some rounds ago lacks later acknowledged messages. The run must detect that, and
// keep all files for an analysis.
func TestOlderStoreIsFound(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	status, out := crash(t, "--lie", "--outcry", outcry, "--rounds", "8", "--seed", "7", "--patience", "5s")
	if status != 1 {
		t.Errorf("exit status %d, want 1", status)
	}
	if !strings.Contains(out, "seed 7") {
		t.Error("the output does not name the seed")
	}
	// The broker works correctly with such a store: only lost state is found.
	if !regexp.MustCompile(`BROKEN: .*(lost|session|twice|retained):`).MatchString(out) || strings.Contains(out, "service:") {
		t.Error("the output does not say that something was forgotten, and nothing else")
	}
	kept := regexp.MustCompile(`kept in (\S+)`).FindStringSubmatch(out)
	if kept == nil {
		t.Fatal("the output does not say where everything is")
	}
	for _, name := range []string{"trace.log", "broker.log", "data/outcry.db"} {
		if info, err := os.Stat(filepath.Join(kept[1], name)); err != nil || info.Size() == 0 {
			t.Errorf("%s was not kept: %v", name, err)
		}
	}
}

func TestWrongArguments(t *testing.T) {
	for _, args := range [][]string{{"--rounds", "0"}, {"--clients", "2"}, {"--unknown"}} {
		if status, _ := crash(t, args...); status != 2 {
			t.Errorf("%v: exit status %d, want 2", args, status)
		}
	}
	if status, out := crash(t, "--help"); status != 0 || !strings.Contains(out, "seed") {
		t.Errorf("--help: exit status %d", status)
	}
}
