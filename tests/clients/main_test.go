package clients_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// outcry is the program under test: $OUTCRY_BINARY, or one built for the tests.
var outcry string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	if os.Getenv("GORACE") == "" { // by default the race detector delays the exit by a second
		_ = os.Setenv("GORACE", "atexit_sleep_ms=0")
	}
	if outcry = os.Getenv("OUTCRY_BINARY"); outcry != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "outcry-clients-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	outcry = filepath.Join(dir, "outcry")
	args := append([]string{"build", "-o", outcry}, buildFlags...)
	build := exec.Command("go", append(args, "github.com/outcry-mqtt/outcry/cmd/outcry")...)
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "the program cannot be built:", err)
		return 1
	}
	return m.Run()
}
