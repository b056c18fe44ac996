package bench

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const supported = true

// The system calls here return at once, so they bypass Go's scheduler.

// readFD reads at most len(b) available bytes. again means that there are none now; 0 bytes are the end.
func readFD(fd int, b []byte) (n int, again bool, err error) {
	for {
		n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		switch errno {
		case 0:
			return int(n), false, nil
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, true, nil
		default:
			return 0, false, errno
		}
	}
}

// writeFD writes as much as the socket takes, perhaps nothing.
func writeFD(fd int, b []byte) (int, error) {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)),
			unix.MSG_NOSIGNAL, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		case unix.EAGAIN: // full, or still connecting
			return 0, nil
		default:
			return 0, errno
		}
	}
}

func closeFD(fd int) { _ = unix.Close(fd) }

// destination is the broker's address, with the source addresses to use.
type destination struct {
	family  int
	address func() unix.Sockaddr // returns a new value each time: connecting writes to it
	name    string               // for a net.Dialer
	network string
	local   bool // the broker is on this machine's loopback, so that there are many source addresses
}

// portsPerSource is the number of connections per source address: an address has some 28,000 ports, which stay in use
// for a while after a connection.
const portsPerSource = 20_000

// newDestination resolves the broker's address, once for all connections.
func newDestination(o *Options) (*destination, error) {
	if o.URL.Scheme == "unix" {
		path := o.URL.Host + o.URL.Path
		address := func() unix.Sockaddr { return &unix.SockaddrUnix{Name: path} }
		return &destination{family: unix.AF_UNIX, address: address, name: path, network: "unix"}, nil
	}
	tcp, err := net.ResolveTCPAddr("tcp", o.URL.Host)
	if err != nil {
		return nil, fmt.Errorf("broker %s: %w", o.URL.Host, err)
	}
	a := tcp.AddrPort()
	d := &destination{name: a.String(), network: "tcp", local: a.Addr().Unmap().Is4() && a.Addr().IsLoopback()}
	if ip := a.Addr().Unmap(); ip.Is4() {
		d.family = unix.AF_INET
		d.address = func() unix.Sockaddr { return &unix.SockaddrInet4{Port: int(a.Port()), Addr: ip.As4()} }
	} else {
		d.family = unix.AF_INET6
		d.address = func() unix.Sockaddr { return &unix.SockaddrInet6{Port: int(a.Port()), Addr: ip.As16()} }
	}
	return d, nil
}

// source returns the source address of the n-th connection; invalid: the system chooses.
func (d *destination) source(n uint64) netip.Addr {
	if !d.local || n < portsPerSource {
		return netip.Addr{}
	}
	return netip.AddrFrom4([4]byte{127, 0, 1, byte(1 + n/portsPerSource%200)})
}

// connect starts the n-th connection, with a receive buffer of that many bytes unless it is 0. Writes to the
// descriptor take nothing until it is connected, and report a failure.
func (d *destination) connect(n uint64, buffer int) (fd int, err error) {
	fd, err = unix.Socket(d.family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if d.network == "tcp" {
		err = d.prepare(fd, n)
	}
	if err == nil && buffer > 0 { // the window scale is negotiated at connect
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, buffer)
	}
	if err == nil {
		if err = unix.Connect(fd, d.address()); errors.Is(err, unix.EINPROGRESS) {
			err = nil
		}
	}
	if err != nil {
		closeFD(fd)
		return -1, os.NewSyscallError("connect", err)
	}
	return fd, nil
}

func (d *destination) prepare(fd int, n uint64) error {
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return err
	}
	from := d.source(n)
	if !from.IsValid() {
		return nil
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
		return err
	}
	return unix.Bind(fd, &unix.SockaddrInet4{Addr: from.As4()})
}

// dialer returns a blocking dialer for the n-th connection.
func (d *destination) dialer(n uint64, buffer int) *net.Dialer {
	dialer := &net.Dialer{}
	from := d.source(n)
	if from.IsValid() {
		dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
	}
	dialer.Control = func(_, _ string, raw syscall.RawConn) (err error) {
		_ = raw.Control(func(fd uintptr) {
			if from.IsValid() {
				err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
			}
			if err == nil && buffer > 0 {
				err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, buffer)
			}
		})
		return err
	}
	return dialer
}

// detach takes the descriptor out of Go's own poller. It closes the connection; the caller owns the descriptor.
func detach(nc net.Conn) (fd int, err error) {
	holder, ok := nc.(syscall.Conn)
	if !ok {
		return -1, errors.New("a connection has no descriptor")
	}
	raw, err := holder.SyscallConn()
	if err != nil {
		return -1, err
	}
	var failed error
	if err := raw.Control(func(old uintptr) { fd, failed = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return -1, err
	}
	_ = nc.Close()
	return fd, os.NewSyscallError("dup", failed)
}

// nap sleeps, holding the thread.
func nap(d time.Duration) {
	t := unix.NsecToTimespec(int64(d))
	_, _, _ = unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&t)), 0, 0)
}

// exactTimers makes the waits of this thread exact to microseconds.
func exactTimers() { _ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1000, 0, 0, 0) }

// alarm is a descriptor that becomes readable at a time: the poller itself waits in milliseconds.
type alarm struct {
	fd  int
	set int64 // ns since the run began; 0: not set
}

func newAlarm() (*alarm, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("timerfd_create", err)
	}
	return &alarm{fd: fd}, nil
}

// at sets the alarm to a time, given the present one. It replaces an earlier setting.
func (a *alarm) at(at, now int64) {
	if a.set == at {
		return
	}
	a.set = at
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(max(at-now, 1))}
	_ = unix.TimerfdSettime(a.fd, 0, &spec, nil)
}

// fired handles the alarm's event.
func (a *alarm) fired() {
	a.set = 0
	var ticks [8]byte
	_, _, _ = readFD(a.fd, ticks[:])
}

// descriptors returns the limit of this process' descriptors; Go raises the soft limit to the hard one by itself.
func descriptors() uint64 {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return ^uint64(0)
	}
	return limit.Cur
}
