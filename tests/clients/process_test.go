package clients_test

import (
	"bufio"
	"bytes"
	"errors"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// waitLimit bounds every wait of a test.
const waitLimit = time.Minute

// process is a program started by a test. It is killed when the test ends.
type process struct {
	t   *testing.T
	cmd *exec.Cmd

	lines  chan string // of standard output; closed at its end
	exited chan struct{}

	mu     sync.Mutex // guards the fields below
	stderr bytes.Buffer
}

// start starts a program.
func start(t *testing.T, name string, args ...string) *process {
	t.Helper()
	return startWith(t, exec.Command(name, args...))
}

func startWith(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, cmd: cmd, lines: make(chan string, 100_000), exited: make(chan struct{})}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = (*stderrWriter)(p)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go p.read(bufio.NewScanner(out))
	t.Cleanup(p.kill)
	return p
}

func (p *process) read(s *bufio.Scanner) {
	s.Buffer(nil, 8<<20)
	for s.Scan() {
		p.lines <- s.Text()
	}
	close(p.lines)
	_ = p.cmd.Wait() // its outcome is in ProcessState
	close(p.exited)
}

// stderrWriter is the writer of a process's standard error.
type stderrWriter process

func (s *stderrWriter) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stderr.Write(b)
}

// errors returns the process's output on standard error so far.
func (p *process) errors() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stderr.String()
}

// line waits for a line of standard output with a prefix, and returns the rest of it.
func (p *process) line(prefix string) string {
	p.t.Helper()
	timeout := time.After(waitLimit)
	for {
		select {
		case l, more := <-p.lines:
			if !more {
				p.t.Fatalf("%s ended without the line %q: %s", p.cmd.Path, prefix, p.errors())
			}
			if rest, ok := strings.CutPrefix(l, prefix); ok {
				return rest
			}
		case <-timeout:
			p.t.Fatalf("%s: the line %q did not come: %s", p.cmd.Path, prefix, p.errors())
		}
	}
}

// wait waits for the process's end, and returns its exit status.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.exited:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(waitLimit):
		p.t.Fatalf("%s does not end: %s", p.cmd.Path, p.errors())
		return -1
	}
}

// rest returns the unread lines of standard output after the process's end.
func (p *process) rest() (lines []string) {
	p.t.Helper()
	p.wait()
	for l := range p.lines {
		lines = append(lines, l)
	}
	return lines
}

// signal sends a signal.
func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// result is the outcome of a program.
type result struct {
	status      int
	out, errors string
}

// run runs a program to its end.
func run(t *testing.T, name string, args ...string) result {
	t.Helper()
	return runWith(t, exec.Command(name, args...))
}

func runWith(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(waitLimit, func() { _ = cmd.Process.Kill() })
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if !late.Stop() {
		t.Fatalf("%s did not end within %v: %s%s", cmd, waitLimit, out.String(), errs.String())
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// mustRun runs a program that has to succeed, and returns its output.
func mustRun(t *testing.T, name string, args ...string) string {
	t.Helper()
	r := run(t, name, args...)
	if r.status != 0 {
		t.Fatalf("%s %v: exit status %d: %s%s", name, args, r.status, r.out, r.errors)
	}
	return r.out
}

// needProgram skips the test if a program is missing.
func needProgram(t *testing.T, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("%s is not installed (Debian package mosquitto-clients)", name)
	}
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(waitLimit)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatal("this did not come: ", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// mustReceive returns the next value from a channel, which must come soon.
func mustReceive[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(waitLimit):
		t.Fatal("this did not come: ", what)
		panic("unreachable")
	}
}
