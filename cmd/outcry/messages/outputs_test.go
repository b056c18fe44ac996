//go:build unix

package messages_test

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/outcry-mqtt/outcry/cmd/outcry/outcrytest"
	"github.com/outcry-mqtt/outcry/cmd/outcry/program"
)

// TestClientsEndQuietlyWithoutAReader closes the reader of the output, like a pipe to head.
func TestClientsEndQuietlyWithoutAReader(t *testing.T) {
	p := outcrytest.StartServe(t, t.TempDir(), "--open")
	for _, args := range [][]string{
		{"sub", "--url", "mqtt://" + p.Addresses["tcp"], "-t", "a"},
		{"version"},
		{"--help"},
	} {
		r, w := outcrytest.Pipe(t)
		cmd := outcrytest.Command(t, args...)
		stderr := outcrytest.NewOutput()
		cmd.Stdout, cmd.Stderr = w, stderr
		r.Close()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() { cmd.Wait(); close(ended) }()
		publish := func() bool {
			if args[0] == "sub" {
				p.Client("pub", "", "-t", "a", "-m", "1")
			}
			select {
			case <-ended:
				return true
			default:
				return false
			}
		}
		p.Until(args[0]+" has ended", publish)
		state := cmd.ProcessState.Sys().(syscall.WaitStatus)
		if quiet := stderr.String() == ""; !quiet || !(state.Signaled() && state.Signal() == syscall.SIGPIPE || state.ExitStatus() == 0) {
			t.Errorf("%v: %v %q", args, cmd.ProcessState, stderr)
		}
	}
}

// TestSubOnAFullDiskOfItsOutput checks that sub ends: a reconnect would not help.
func TestSubOnAFullDiskOfItsOutput(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	p := outcrytest.StartServe(t, t.TempDir(), "--open")
	p.Client("pub", "", "-t", "a", "-m", "1", "-r")
	var stderr strings.Builder
	status := program.Run(t.Context(), []string{"sub", "--url", "mqtt://" + p.Addresses["tcp"], "-t", "a"}, nil, full, &stderr)
	if status != 1 || !strings.HasSuffix(stderr.String(), "no space left on device\n") {
		t.Errorf("status %d, %q", status, stderr.String())
	}
}
