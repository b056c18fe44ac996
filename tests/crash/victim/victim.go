// Package victim runs the broker that a crash test kills: the real program with a data folder that outlives it.
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

// Victim says how a broker is started. Its first life binds free ports, the later ones the same.
type Victim struct {
	Binary string   // outcry
	Folder string   // for the log and the address file; must be there
	Data   string   // folder of the broker's data
	Args   []string // more, for "outcry serve"

	// Start, if not nil, starts the command in place of its own Start.
	Start func(*exec.Cmd) error

	addresses map[string]string // by listener
}

// Life is one process.
type Life struct {
	victim  *Victim
	cmd     *exec.Cmd
	began   time.Time
	exited  chan struct{}
	address string // of the file that says when it is ready
}

// LogFile is where all lives write their standard output and error.
func (v *Victim) LogFile() string { return filepath.Join(v.Folder, "broker.log") }

// Address is that of a listener, tcp or http, once the first life was ready.
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
	cmd.Dir = v.Folder // where there is no config.yaml
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "OUTCRY_") {
			cmd.Env = append(cmd.Env, entry)
		}
	}
	return cmd
}

// loopback is an address that probably nobody else uses, so that a broker which starts again finds its port free.
func loopback() string {
	if runtime.GOOS != "linux" {
		return "127.0.0.1"
	}
	pid := os.Getpid()
	return fmt.Sprintf("127.%d.%d.%d", 16+pid>>16&63, pid>>8&255, 1+pid&127)
}

// Ready waits until the broker takes clients, and returns how long that took since it was started. If the process ends
// or ctx does, it returns an error.
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

// Exited is closed when the process has ended.
func (l *Life) Exited() <-chan struct{} { return l.exited }

// Outcome says how the process ended, once it has.
func (l *Life) Outcome() string { return l.cmd.ProcessState.String() }

// Pid is the process's.
func (l *Life) Pid() int { return l.cmd.Process.Pid }

// Kill ends the process with SIGKILL, and waits for its end. It reports whether the process was still alive.
func (l *Life) Kill() bool {
	err := l.cmd.Process.Kill()
	<-l.exited
	status, ok := l.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return err == nil && ok && status.Signaled()
}

// Terminate sends SIGTERM, and waits for nothing.
func (l *Life) Terminate() error { return l.cmd.Process.Signal(syscall.SIGTERM) }

// Stop ends the process with SIGTERM. It has to end with status 0 before ctx does.
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
