package main

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

// scheme is how clients come in.
type scheme string

const (
	overTCP       scheme = "mqtt"
	overTLS       scheme = "mqtts"
	overWebSocket scheme = "ws"
)

// site is where a peer is to listen, on 127.0.0.1, and for whom. It listens for one scheme if it cannot for all of them.
type site struct {
	folder              string // empty, its own
	scheme              scheme // that is asked for
	tcp, tls, ws, other int
	certificate         certificate
}

func (site) address(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// port is the one that clients come to.
func (at site) port() int {
	switch at.scheme {
	case overTLS:
		return at.tls
	case overWebSocket:
		return at.ws
	}
	return at.tcp
}

// running is a peer's process.
type running struct {
	cmd    *exec.Cmd
	output bytes.Buffer
	ended  chan struct{}
}

// start starts a peer and waits until it listens.
func (p *peer) start(ctx context.Context, at site) (*running, error) {
	cmd, err := p.command(at)
	if err != nil {
		return nil, err
	}
	r := &running{cmd: cmd, ended: make(chan struct{})}
	cmd.Dir, cmd.Stdout, cmd.Stderr = at.folder, &r.output, &r.output
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() { _ = cmd.Wait(); close(r.ended) }()
	if err := r.listens(ctx, at.port()); err != nil {
		r.stop()
		return nil, fmt.Errorf("%w: %s", err, lastLine(r.output.Bytes()))
	}
	return r, nil
}

// listens waits until a port answers.
func (r *running) listens(ctx context.Context, port int) error {
	deadline := time.After(time.Minute)
	for !answers(port) {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-r.ended:
			return errors.New("it ended at once")
		case <-deadline:
			return fmt.Errorf("it does not listen on port %d", port)
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

func answers(port int) bool {
	c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), time.Second)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// stop asks the process to end, and ends it if it does not.
func (r *running) stop() {
	_ = r.cmd.Process.Signal(os.Interrupt)
	select {
	case <-r.ended:
	case <-time.After(10 * time.Second):
		_ = r.cmd.Process.Kill()
		<-r.ended
	}
}

// newSite makes a folder and finds ports that nobody listens on now.
func newSite(parent, name string, sch scheme, c certificate) (at site, err error) {
	at = site{scheme: sch, certificate: c}
	if at.folder, err = os.MkdirTemp(parent, name+"-"); err != nil {
		return at, err
	}
	for _, port := range []*int{&at.tcp, &at.tls, &at.ws, &at.other} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return at, err
		}
		defer l.Close() // after all of them, so that they differ
		*port = l.Addr().(*net.TCPAddr).Port
	}
	return at, nil
}
