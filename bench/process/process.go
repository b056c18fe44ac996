// Package process runs brokers for measurements, each in a process of its own on this machine.
package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"time"
)

// Time limits of a broker's start and end.
const (
	startPatience = time.Minute
	stopPatience  = 30 * time.Second
)

// Running is the process of a broker.
type Running struct {
	PID int

	cmd    *exec.Cmd
	output bytes.Buffer
	ended  chan struct{}
}

// Start starts a broker in a folder and waits up to a minute until it listens on an address. An error contains the
// last line of the broker's output.
func Start(ctx context.Context, cmd *exec.Cmd, folder, address string) (*Running, error) {
	r := &Running{cmd: cmd, ended: make(chan struct{})}
	cmd.Dir, cmd.Stdout, cmd.Stderr = folder, &r.output, &r.output
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	r.PID = cmd.Process.Pid
	go func() { _ = cmd.Wait(); close(r.ended) }()
	if err := r.listens(ctx, address); err != nil {
		r.Stop()
		return nil, fmt.Errorf("%w: %s", err, LastLine(r.output.Bytes()))
	}
	return r, nil
}

func (r *Running) listens(ctx context.Context, address string) error {
	deadline := time.After(startPatience)
	for {
		if c, err := net.DialTimeout("tcp", address, time.Second); err == nil {
			return c.Close()
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-r.ended:
			return errors.New("it ended at once")
		case <-deadline:
			return fmt.Errorf("it does not listen on %s", address)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Stop terminates the process, and kills it after half a minute.
func (r *Running) Stop() {
	_ = r.cmd.Process.Signal(os.Interrupt)
	select {
	case <-r.ended:
	case <-time.After(stopPatience):
		_ = r.cmd.Process.Kill()
		<-r.ended
	}
}

// LastLine returns the last line of a program's output, which explains its failure.
func LastLine(text []byte) string {
	text = bytes.TrimSpace(text)
	return string(text[bytes.LastIndexByte(text, '\n')+1:])
}

// FreePorts returns n free ports of 127.0.0.1.
func FreePorts(n int) (all []int, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // after all of them, so that they differ
		all = append(all, l.Addr().(*net.TCPAddr).Port)
	}
	return all, nil
}

// Address returns the address of a port on 127.0.0.1.
func Address(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
