package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"time"
)

// broker is Outcry in a process of its own, with a folder of its own.
type broker struct {
	cmd    *exec.Cmd
	url    *url.URL
	output bytes.Buffer
	ended  chan struct{}
	folder string
}

// build builds the program that is measured.
func build(ctx context.Context, program string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", program, "./cmd/outcry")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the program: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// start starts a broker with a number of shards (0: one for each processor), and waits until it listens.
func start(ctx context.Context, program string, shards int) (*broker, error) {
	folder, err := os.MkdirTemp("", "scale-")
	if err != nil {
		return nil, err
	}
	at, err := freeAddresses(3)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	b := &broker{folder: folder, url: &url.URL{Scheme: "mqtt", Host: at[0]}, ended: make(chan struct{})}
	b.cmd = exec.Command(program, "serve", "--open", "--data", folder, "--tcp", at[0], "--ws", at[1], "--http", at[2])
	b.cmd.Dir, b.cmd.Stdout, b.cmd.Stderr = folder, &b.output, &b.output
	if shards > 0 {
		b.cmd.Env = append(os.Environ(), fmt.Sprintf("GOMAXPROCS=%d", shards)) // a shard for each
	}
	if err := b.cmd.Start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	go func() { _ = b.cmd.Wait(); close(b.ended) }()
	if err := b.listens(ctx); err != nil {
		b.stop()
		return nil, err
	}
	return b, nil
}

func (b *broker) listens(ctx context.Context) error {
	deadline := time.After(time.Minute)
	for {
		if c, err := net.DialTimeout("tcp", b.url.Host, time.Second); err == nil {
			return c.Close()
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-b.ended:
			return fmt.Errorf("the broker ended at once: %s", bytes.TrimSpace(b.output.Bytes()))
		case <-deadline:
			return fmt.Errorf("the broker does not listen on %s", b.url.Host)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// stop asks the process to end, ends it if it does not, and removes what it left.
func (b *broker) stop() {
	_ = b.cmd.Process.Signal(os.Interrupt)
	select {
	case <-b.ended:
	case <-time.After(30 * time.Second):
		_ = b.cmd.Process.Kill()
		<-b.ended
	}
	_ = os.RemoveAll(b.folder)
}

// freeAddresses are n that nobody listens on now.
func freeAddresses(n int) (all []string, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // after all of them, so that they differ
		all = append(all, l.Addr().String())
	}
	return all, nil
}
