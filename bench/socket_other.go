//go:build !linux

package bench

import (
	"errors"
	"net"
	"time"
)

// supported is false: the bench drives sockets through epoll. The broker may be anywhere.
const supported = false

var errUnsupported = errors.New("the bench runs on Linux only")

func readFD(int, []byte) (int, bool, error) { return 0, false, errUnsupported }

func writeFD(int, []byte) (int, error) { return 0, errUnsupported }

func closeFD(int) {}

type destination struct{ network, name string }

func newDestination(*Options) (*destination, error) { return nil, errUnsupported }

func (*destination) connect(uint64, int) (int, error) { return -1, errUnsupported }

func (*destination) dialer(uint64, int) *net.Dialer { return &net.Dialer{} }

func detach(net.Conn) (int, error) { return -1, errUnsupported }

func nap(time.Duration) {}

func exactTimers() {}

type alarm struct{ fd int }

func newAlarm() (*alarm, error) { return nil, errUnsupported }

func (*alarm) at(_, _ int64) {}

func (*alarm) fired() {}

func descriptors() uint64 { return ^uint64(0) }
