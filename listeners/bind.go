package listeners

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"
)

const (
	longestKeepAlive  = 32767 * time.Second // Linux' maximum
	defaultKeepAlive  = 60 * time.Second    // idle time before the first TCP keep-alive probe
	keepAliveInterval = 15 * time.Second
	keepAliveCount    = 4 // unanswered probes before the connection is dropped
)

// BindError is a failure to listen on an address, with a remedy.
type BindError struct {
	Address string // as configured
	Key     string // the key in the config file, e.g. "listeners.ws.address"
	Reason  string // e.g. "address in use"
	Hint    string // remedy
	Err     error  // the operating system's error; nil if the check failed before
}

// Error returns the address, the reason and the hint on one line.
func (e *BindError) Error() string {
	return fmt.Sprintf("listen %s: %s; %s", e.Address, e.Reason, e.Hint)
}

// Unwrap returns the operating system's error.
func (e *BindError) Unwrap() error { return e.Err }

// bindTCP listens on a TCP address with keep-alive probes after idle (negative: none). Nagle's algorithm is off,
// package net's default.
func bindTCP(address, key string, idle time.Duration) (net.Listener, error) {
	if idle == 0 {
		idle = defaultKeepAlive
	}
	config := net.ListenConfig{KeepAlive: -1}
	if idle > 0 {
		config.KeepAliveConfig = net.KeepAliveConfig{
			Enable: true, Idle: min(idle, longestKeepAlive), Interval: keepAliveInterval, Count: keepAliveCount,
		}
	}
	config.Control = inherited(config.KeepAliveConfig)
	l, err := config.Listen(context.Background(), "tcp", address)
	if err != nil {
		return nil, explain(address, key, err)
	}
	return l, nil
}

// explain turns an error of net.Listen into one with a remedy.
func explain(address, key string, err error) *BindError {
	e := &BindError{Address: address, Key: key, Err: err}
	var (
		syntax *net.AddrError
		lookup *net.DNSError
	)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		e.Reason, e.Hint = "address in use", "stop the other process (see ss -ltnp) or change "+key
	case errors.Is(err, syscall.EACCES):
		e.Reason, e.Hint = "permission denied", "ports below 1024 need the capability CAP_NET_BIND_SERVICE, or change "+key
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		e.Reason, e.Hint = "no interface of this machine has this address", "see ip addr and change "+key
	case errors.As(err, &syntax):
		e.Reason, e.Hint = syntax.Err, "write host:port, such as 127.0.0.1:1883 or :1883, in "+key
	case errors.As(err, &lookup):
		e.Reason, e.Hint = "unknown host or port", "write a name or address that this machine has in "+key
	default:
		e.Reason, e.Hint = cause(err), "change "+key
	}
	return e
}

// cause returns the innermost text of an error of package net, without the address around it.
func cause(err error) string {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err.Error()
	}
	return err.Error()
}

// IsLoopback reports whether a listener on address (host:port) is reachable from this machine only. An address
// without a host, or with an unresolvable one, is not loopback.
func IsLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil || host == "" {
		return false
	}
	tcp, err := net.ResolveTCPAddr("tcp", net.JoinHostPort(host, "0"))
	return err == nil && tcp.IP.IsLoopback()
}
