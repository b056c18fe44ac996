package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// crash runs the program, and returns its exit status and output.
func crash(t *testing.T, args ...string) (status int, out string) {
	t.Helper()
	var b strings.Builder
	status = execute(t.Context(), args, &b)
	t.Logf("crash %v: exit status %d\n%s", args, status, b.String())
	return status, b.String()
}

// A store that is put back to what it was some rounds ago has forgotten what was acknowledged since. The run has to
// find that, and to leave everything that is needed to look into it.
func TestLieIsFound(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	status, out := crash(t, "--lie", "--rounds", "8", "--seed", "7", "--patience", "5s")
	if status != 1 {
		t.Errorf("exit status %d, want 1", status)
	}
	if !strings.Contains(out, "seed 7") || !strings.Contains(out, "BROKEN") {
		t.Error("the output names neither the seed nor the faults")
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
