// Package outcrytest runs the whole program for the tests of its packages, in the test's process or in one of its
// own. It imports no command; a test's TestMain passes it the program.
package outcrytest

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// WaitLimit bounds every wait on a busy machine.
const WaitLimit = 30 * time.Second

// Process is outcry serve as a process of its own.
type Process struct {
	T              *testing.T
	Cmd            *exec.Cmd
	Stdout, Stderr *output
	Addresses      map[string]string // content of --addr-file
	Ended          chan struct{}
}

// output collects a process's output.
type output struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{} // closed and replaced with each write
}

// NewOutput returns an empty output.
func NewOutput() *output { return &output{changed: make(chan struct{})} }

// Write appends to the output.
func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.changed)
	o.changed = make(chan struct{})
	return o.text.Write(b)
}

// String returns the output so far.
func (o *output) String() string {
	text, _ := o.now()
	return text
}

func (o *output) now() (text string, changed <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String(), o.changed
}

// After returns the number of bytes so far, for WaitFor.
func (o *output) After() int { return len(o.String()) }

// WaitFor waits for a line with all of words, behind the first after bytes of the output.
func (p *Process) WaitFor(o *output, after int, words ...string) string {
	p.T.Helper()
	deadline := time.After(WaitLimit)
	for {
		text, changed := o.now()
		for line := range strings.Lines(text[after:]) {
			if strings.HasSuffix(line, "\n") && hasAll(line, words) {
				return line
			}
		}
		select {
		case <-changed:
		case <-p.Ended:
			if text, _ = o.now(); !hasAll(text[after:], words) {
				p.T.Fatalf("it ended without %q:\n%s\n%s", words, p.Stdout, p.Stderr)
			}
		case <-deadline:
			p.T.Fatalf("no %q in\n%s\n%s", words, p.Stdout, p.Stderr)
		}
	}
}

func hasAll(text string, words []string) bool {
	for _, w := range words {
		if !strings.Contains(text, w) {
			return false
		}
	}
	return true
}

// Start starts outcry in folder dir without waiting.
func Start(t *testing.T, dir string, args ...string) *Process {
	t.Helper()
	return startCommand(t, dir, Command(t, args...))
}

func startCommand(t *testing.T, dir string, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{T: t, Cmd: cmd, Stdout: NewOutput(), Stderr: NewOutput(), Ended: make(chan struct{})}
	p.Cmd.Dir, p.Cmd.Stdout, p.Cmd.Stderr = dir, p.Stdout, p.Stderr
	if err := p.Cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.Cmd.Wait(); close(p.Ended) }()
	t.Cleanup(func() { p.Cmd.Process.Kill(); <-p.Ended })
	return p
}

// StartServe starts outcry serve in folder dir, on free ports, and waits until it is ready.
func StartServe(t *testing.T, dir string, args ...string) *Process {
	t.Helper()
	return StartServeAs(t, dir, func(*exec.Cmd) {}, args...)
}

// StartServeAs is StartServe with a modified command.
func StartServeAs(t *testing.T, dir string, change func(*exec.Cmd), args ...string) *Process {
	t.Helper()
	file := filepath.Join(t.TempDir(), "addresses")
	cmd := Command(t, append([]string{"serve", "--tcp", "127.0.0.1:0", "--ws", "127.0.0.1:0", "--http", "127.0.0.1:0",
		"--addr-file", file}, args...)...)
	change(cmd)
	p := startCommand(t, dir, cmd)
	p.WaitFor(p.Stdout, 0, "Ctrl-C stops it.")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &p.Addresses); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return p
}

// Signal sends a signal.
func (p *Process) Signal(sig syscall.Signal) {
	p.T.Helper()
	if err := p.Cmd.Process.Signal(sig); err != nil {
		p.T.Fatal(err)
	}
}

// Wait waits for the end and returns the exit status.
func (p *Process) Wait() int {
	p.T.Helper()
	select {
	case <-p.Ended:
		return p.Cmd.ProcessState.ExitCode()
	case <-time.After(WaitLimit):
		p.T.Fatalf("it did not end:\n%s", p.Stderr)
		return -1
	}
}

// Stop ends it cleanly.
func (p *Process) Stop() {
	p.T.Helper()
	p.Signal(syscall.SIGTERM)
	if status := p.Wait(); status != 0 {
		p.T.Errorf("exit status %d\n%s", status, p.Stderr)
	}
}

// Client runs outcry pub or sub in this process, as a client of p.
func (p *Process) Client(verb, token string, args ...string) (status int, stdout, stderr string) {
	p.T.Helper()
	args = append([]string{verb, "--url", "mqtt://" + p.Addresses["tcp"], "-P", token}, args...)
	return Call(p.T, "", args...)
}

// Token mints a token with the secret of p, which was started in folder dir with ./data.
func (p *Process) Token(args ...string) string {
	p.T.Helper()
	secret := filepath.Join(p.Cmd.Dir, "data", "secret")
	return MintToken(p.T, append(args, "--no-config", "--secret-file", secret)...)
}

// ModeOf returns the permissions of a file, or 0 without a file.
func ModeOf(t *testing.T, path string) os.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}
