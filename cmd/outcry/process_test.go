package main

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

// patience is how long anything that should happen at once may take on a busy machine.
const patience = 30 * time.Second

// process is outcry serve as a process of its own.
type process struct {
	t              *testing.T
	cmd            *exec.Cmd
	stdout, stderr *output
	addresses      map[string]string // what --addr-file says
	ended          chan struct{}
}

// output keeps what a process writes.
type output struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{} // closed and replaced with each write
}

func newOutput() *output { return &output{changed: make(chan struct{})} }

// Write keeps more.
func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.changed)
	o.changed = make(chan struct{})
	return o.text.Write(b)
}

func (o *output) String() string {
	text, _ := o.now()
	return text
}

func (o *output) now() (text string, changed <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String(), o.changed
}

// after is the number of bytes so far, for waitFor.
func (o *output) after() int { return len(o.String()) }

// waitFor waits until the output holds all of words on one line, behind so many bytes.
func (p *process) waitFor(o *output, after int, words ...string) string {
	p.t.Helper()
	deadline := time.After(patience)
	for {
		text, changed := o.now()
		for line := range strings.Lines(text[after:]) {
			if strings.HasSuffix(line, "\n") && hasAll(line, words) {
				return line
			}
		}
		select {
		case <-changed:
		case <-p.ended:
			if text, _ = o.now(); !hasAll(text[after:], words) {
				p.t.Fatalf("it ended without %q:\n%s\n%s", words, p.stdout, p.stderr)
			}
		case <-deadline:
			p.t.Fatalf("no %q in\n%s\n%s", words, p.stdout, p.stderr)
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

// startProcess starts outcry in folder dir and does not wait.
func startProcess(t *testing.T, dir string, args ...string) *process {
	t.Helper()
	return startCommand(t, dir, outcry(t, args...))
}

func startCommand(t *testing.T, dir string, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, cmd: cmd, stdout: newOutput(), stderr: newOutput(), ended: make(chan struct{})}
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, p.stdout, p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.cmd.Wait(); close(p.ended) }()
	t.Cleanup(func() { p.cmd.Process.Kill(); <-p.ended })
	return p
}

// startServe starts outcry serve in folder dir, on ports that are free, and waits until it is ready.
func startServe(t *testing.T, dir string, args ...string) *process {
	t.Helper()
	return startServeAs(t, dir, func(*exec.Cmd) {}, args...)
}

// startServeAs is startServe with a command that was changed.
func startServeAs(t *testing.T, dir string, change func(*exec.Cmd), args ...string) *process {
	t.Helper()
	file := filepath.Join(t.TempDir(), "addresses")
	cmd := outcry(t, append([]string{"serve", "--tcp", "127.0.0.1:0", "--ws", "127.0.0.1:0", "--http", "127.0.0.1:0",
		"--addr-file", file}, args...)...)
	change(cmd)
	p := startCommand(t, dir, cmd)
	p.waitFor(p.stdout, 0, "Ctrl-C stops it.")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &p.addresses); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return p
}

func (p *process) signal(sig syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
}

// wait waits for the end and returns the exit status.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.ended:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		p.t.Fatalf("it did not end:\n%s", p.stderr)
		return -1
	}
}

// stop ends it in good order.
func (p *process) stop() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	if status := p.wait(); status != 0 {
		p.t.Errorf("exit status %d\n%s", status, p.stderr)
	}
}

// client runs outcry pub or sub in this process, as a client of p.
func (p *process) client(verb, token string, args ...string) (status int, stdout, stderr string) {
	p.t.Helper()
	args = append([]string{verb, "--url", "mqtt://" + p.addresses["tcp"], "-P", token}, args...)
	return call(p.t, "", args...)
}

// token mints one with the secret of p, which was started in folder dir with ./data.
func (p *process) token(args ...string) string {
	p.t.Helper()
	secret := filepath.Join(p.cmd.Dir, "data", "secret")
	return mintToken(p.t, append(args, "--no-config", "--secret-file", secret)...)
}

func modeOf(t *testing.T, path string) os.FileMode {
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
