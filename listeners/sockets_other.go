//go:build !linux

package listeners

import (
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"syscall"
)

type socket struct {
	fd     int
	remote netip.AddrPort
}

// sockets is nil on this system: package net accepts the connections.
type sockets struct{}

func newSockets(net.Listener) *sockets { return nil }

func inherited(net.KeepAliveConfig) func(network, address string, c syscall.RawConn) error {
	return nil
}

func (*sockets) close() {}

func (*sockets) accept() ([]socket, error) { return nil, errors.ErrUnsupported }

// limitMode does nothing: only Linux supports it.
func limitMode(syscall.RawConn, fs.FileMode) error { return nil }
