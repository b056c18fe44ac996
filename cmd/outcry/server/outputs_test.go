//go:build unix

package server

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/cmd/outcry/outcrytest"
)

// startServeTo is StartServe with standard output and error in files that the test does not read.
func startServeTo(t *testing.T, change func(*exec.Cmd), stdout, stderr *os.File, args ...string) *outcrytest.Process {
	t.Helper()
	file := filepath.Join(t.TempDir(), "addresses")
	p := &outcrytest.Process{T: t, Stdout: outcrytest.NewOutput(), Stderr: outcrytest.NewOutput(), Ended: make(chan struct{})}
	p.Cmd = outcrytest.Command(t, append([]string{"serve", "--tcp", "127.0.0.1:0", "--ws", "127.0.0.1:0", "--http", "127.0.0.1:0", "--addr-file", file}, args...)...)
	p.Cmd.Stdout, p.Cmd.Stderr = stdout, stderr
	change(p.Cmd)
	if err := p.Cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.Cmd.Wait(); close(p.Ended) }()
	t.Cleanup(func() { p.Cmd.Process.Kill(); <-p.Ended })
	p.Until("it is ready", func() bool {
		text, err := os.ReadFile(file)
		return err == nil && json.Unmarshal(text, &p.Addresses) == nil
	})
	return p
}

func unchanged(*exec.Cmd) {}

// ignoreSIGPIPE starts a process like systemd does.
func ignoreSIGPIPE(cmd *exec.Cmd) {
	cmd.Args = append([]string{"sh", "-c", `trap "" PIPE; exec "$0" "$@"`, cmd.Path}, cmd.Args[1:]...)
	cmd.Path = "/bin/sh"
}

// TestServeGoesOnWithoutAReader closes the reader of the broker's output; each SIGHUP then logs a line.
func TestServeGoesOnWithoutAReader(t *testing.T) {
	for name, change := range map[string]func(*exec.Cmd){"usual": unchanged, "SIGPIPE ignored at the start": ignoreSIGPIPE} {
		t.Run(name, func(t *testing.T) {
			r, w := outcrytest.Pipe(t)
			p := startServeTo(t, change, w, w)
			r.Close()
			p.Signal(syscall.SIGHUP)
			p.Until("a line was lost", func() bool { return p.Metric("outcry_log_lost_lines_total") > 0 })
			if status, _, stderr := p.Client("pub", "not a token", "-t", "a", "-m", "1"); status == 0 {
				t.Errorf("a client without a token was let in: %s", stderr)
			}
			if status, _, stderr := p.Client("pub", p.Token("--user", "u", "--rooms", "lobby"), "-t", "chat/lobby/say", "-m", "1"); status != 0 {
				t.Errorf("publishing failed: %s", stderr)
			}
			p.Signal(syscall.SIGTERM)
			if status := p.Wait(); status != 0 {
				t.Errorf("exit status %d", status)
			}
		})
	}
}

// TestServeGoesOnWithAReaderThatDoesNotRead logs more than a pipe and the line queue hold.
func TestServeGoesOnWithAReaderThatDoesNotRead(t *testing.T) {
	r, w := outcrytest.Pipe(t)
	path := filepath.Join(t.TempDir(), "config.yaml")
	writeConfig := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	writeConfig("")
	p := startServeTo(t, unchanged, w, w, "--open", "--config", path)
	w.Close()
	writeConfig(strings.Repeat("x", 100<<10) + ": 1\n")
	p.Until("lines were lost", func() bool {
		p.Signal(syscall.SIGHUP)
		return p.Metric("outcry_log_lost_lines_total") > 0
	})
	if status, _, stderr := p.Client("pub", "", "-t", "a", "-m", "1"); status != 0 {
		t.Errorf("publishing failed: %s", stderr)
	}
	read := outcrytest.NewOutput()
	copied := make(chan struct{})
	go func() { io.Copy(read, r); close(copied) }()
	p.WaitFor(read, 0, "log lines lost", "lines=")
	p.Signal(syscall.SIGTERM)
	if status := p.Wait(); status != 0 {
		t.Errorf("exit status %d", status)
	}
	<-copied
	if !strings.Contains(read.String(), `msg=stopped`) {
		t.Error("the last line of the log is missing")
	}
}

func TestServeStopsWithAReaderThatDoesNotRead(t *testing.T) {
	_, w := outcrytest.Pipe(t)
	fill(t, w)
	p := startServeTo(t, unchanged, w, w)
	p.Signal(syscall.SIGTERM)
	if status := p.Wait(); status != 0 {
		t.Errorf("exit status %d", status)
	}
}

// fill fills a pipe without a reader.
func fill(t *testing.T, w *os.File) {
	t.Helper()
	if err := w.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
		t.Skip(err)
	}
	for {
		if _, err := w.Write(make([]byte, 4096)); err != nil {
			break
		}
	}
	w.SetWriteDeadline(time.Time{})
}

func TestServeOnAFullDiskOfItsOutput(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	_, w := outcrytest.Pipe(t)
	for name, stderr := range map[string]*os.File{"stdout": w, "both": full} {
		t.Run(name, func(t *testing.T) {
			p := startServeTo(t, unchanged, full, stderr, "--demo")
			p.Stop()
		})
	}
}
