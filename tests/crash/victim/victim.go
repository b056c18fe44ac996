// Package victim runs the broker of a crash test: the real program with a data folder that outlives it.
package victim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Victim is a broker's configuration. Its first life binds free ports, later ones the same.
type Victim struct {
	Binary string   // path of outcry
	Folder string   // for the log and the address file; must exist
	Data   string   // data folder of the broker
	Args   []string // further arguments of "outcry serve"

	// Start, if not nil, replaces the command's own Start.
	Start func(*exec.Cmd) error

	addresses map[string]string // by listener
}

// Life is one process.
type Life struct {
	victim  *Victim
	cmd     *exec.Cmd
	began   time.Time
	exited  chan struct{}
	address string // of the file that is written when the broker is ready
}

// LogFile returns the path of all lives' standard output and error.
func (v *Victim) LogFile() string { return filepath.Join(v.Folder, "broker.log") }

// Address returns the address of a listener, tcp or http, after the first life was ready.
func (v *Victim) Address(listener string) string { return v.addresses[listener] }

// Begin starts a life. round is for the log.
func (v *Victim) Begin(round int) (*Life, error) {
	log, err := os.OpenFile(v.LogFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	fmt.Fprintf(log, "\n--- round %d\n", round)
	l := &Life{victim: v, exited: make(chan struct{}), address: filepath.Join(v.Folder, "addresses.json")}
	if err := os.Remove(l.address); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l.cmd = v.command(l.address)
	l.cmd.Stdout, l.cmd.Stderr = log, log
	start := v.Start
	if start == nil {
		start = (*exec.Cmd).Start
	}
	l.began = time.Now()
	if err := start(l.cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", v.Binary, err)
	}
	go func() {
		_ = l.cmd.Wait() // its outcome is in ProcessState
		close(l.exited)
	}()
	return l, nil
}

func (v *Victim) command(addressFile string) *exec.Cmd {
	tcp, http := v.addresses["tcp"], v.addresses["http"]
	if v.addresses == nil {
		tcp, http = loopback()+":0", "127.0.0.1:0"
	}
	args := []string{"serve", "--open", "--tcp", tcp, "--ws", "", "--http", http, "--data", v.Data, "--addr-file", addressFile}
	cmd := exec.Command(v.Binary, append(args, v.Args...)...)
	cmd.Dir = v.Folder // a folder without a config.yaml
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "OUTCRY_") {
			cmd.Env = append(cmd.Env, entry)
		}
	}
	return cmd
}

// loopback returns a probably unused address, so that a restarted broker finds its port free.
func loopback() string {
	if runtime.GOOS != "linux" {
		return "127.0.0.1"
	}
	pid := os.Getpid()
	return fmt.Sprintf("127.%d.%d.%d", 16+pid>>16&63, pid>>8&255, 1+pid&127)
}

// Ready waits until the broker accepts clients, and returns the duration of its start. If the process ends or ctx
// does, it returns an error.
func (l *Life) Ready(ctx context.Context) (time.Duration, error) {
	for {
		text, err := os.ReadFile(l.address)
		if err == nil {
			took := time.Since(l.began)
			return took, json.Unmarshal(text, &l.victim.addresses)
		}
		select {
		case <-l.exited:
			return 0, fmt.Errorf("the broker ended by itself while it started: %v", l.cmd.ProcessState)
		case <-ctx.Done():
			return 0, fmt.Errorf("the broker was not ready after %v", time.Since(l.began).Round(time.Second))
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// Exited returns a channel that is closed when the process has ended.
func (l *Life) Exited() <-chan struct{} { return l.exited }

// Outcome describes the end of the process.
func (l *Life) Outcome() string { return l.cmd.ProcessState.String() }

// Pid returns the process's id.
func (l *Life) Pid() int { return l.cmd.Process.Pid }

// Kill ends the process with SIGKILL, and waits for its end. It reports whether the process was still alive.
func (l *Life) Kill() bool {
	err := l.cmd.Process.Kill()
	<-l.exited
	status, ok := l.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return err == nil && ok && status.Signaled()
}

// Terminate sends SIGTERM, without waiting.
func (l *Life) Terminate() error { return l.cmd.Process.Signal(syscall.SIGTERM) }

// Stop ends the process with SIGTERM. It must exit with status 0 before ctx ends.
func (l *Life) Stop(ctx context.Context) error {
	if err := l.Terminate(); err != nil {
		return fmt.Errorf("SIGTERM: %w", err)
	}
	select {
	case <-l.exited:
	case <-ctx.Done():
		l.Kill()
		return errors.New("the broker did not end after SIGTERM")
	}
	if !l.cmd.ProcessState.Success() {
		return fmt.Errorf("the broker ended after SIGTERM with %v", l.cmd.ProcessState)
	}
	return nil
}
