package attacks_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// waitLimit bounds every wait of a test, on a slow and busy machine.
const waitLimit = 2 * time.Minute

// outcry is the program under test: $OUTCRY_BINARY, or one built for the tests. It is built without the race
// detector, even if the tests use it: they measure the memory of the program in normal use.
var outcry string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	raw.Patience = waitLimit
	if outcry = os.Getenv("OUTCRY_BINARY"); outcry != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "outcry-attacks-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	outcry = filepath.Join(dir, "outcry")
	build := exec.Command("go", "build", "-o", outcry, "github.com/outcry-mqtt/outcry/cmd/outcry")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "the program cannot be built:", err)
		return 1
	}
	return m.Run()
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(waitLimit); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("this did not come: ", what)
		}
	}
}
