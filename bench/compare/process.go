package main

import (
	"context"
	"os"

	"github.com/outcry-mqtt/outcry/bench/process"
)

// scheme is the URL scheme of the clients' transport.
type scheme string

const (
	overTCP       scheme = "mqtt"
	overTLS       scheme = "mqtts"
	overWebSocket scheme = "ws"
)

// site holds a peer's addresses on 127.0.0.1 and its files. A peer that cannot serve all schemes at once serves
// scheme.
type site struct {
	folder              string // empty, its own
	scheme              scheme // of the work
	tcp, tls, ws, other int
	certificate         certificate
}

func (site) address(port int) string { return process.Address(port) }

// port returns the port for the work's clients.
func (at site) port() int {
	switch at.scheme {
	case overTLS:
		return at.tls
	case overWebSocket:
		return at.ws
	}
	return at.tcp
}

// start starts a peer and waits until it listens.
func (p *peer) start(ctx context.Context, at site) (*process.Running, error) {
	cmd, err := p.command(at)
	if err != nil {
		return nil, err
	}
	return process.Start(ctx, cmd, at.folder, at.address(at.port()))
}

// newSite creates a folder and finds free ports.
func newSite(parent, name string, sch scheme, c certificate) (at site, err error) {
	at = site{scheme: sch, certificate: c}
	if at.folder, err = os.MkdirTemp(parent, name+"-"); err != nil {
		return at, err
	}
	ports, err := process.FreePorts(4)
	if err != nil {
		return at, err
	}
	at.tcp, at.tls, at.ws, at.other = ports[0], ports[1], ports[2], ports[3]
	return at, nil
}
