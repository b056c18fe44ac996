package broker

import (
	"errors"
	"fmt"
	"net"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// errAgain tells that there is nothing to read now.
var errAgain = errors.New("nothing to read now")

// Sockets are non-blocking, so these system calls return at once and need not tell the scheduler that they were entered:
// at one call per connection and turn that is a large part of what a message costs.

// readFD reads what there is, at most len(b).
func readFD(fd int32, b []byte) (int, error) {
	for {
		n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, errAgain
		default:
			return 0, errno
		}
	}
}

// writeFD writes as much as the socket takes: 0 if it is full.
func writeFD(fd int32, b []byte) (int, error) {
	for {
		n, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
		if n, err, done := written(n, errno); done {
			return n, err
		}
	}
}

// writeFD2 writes two pieces as one.
func writeFD2(fd int32, head, b []byte) (int, error) {
	v := [2]unix.Iovec{{Base: &head[0], Len: uint64(len(head))}, {Base: &b[0], Len: uint64(len(b))}}
	for {
		n, _, errno := unix.RawSyscall(unix.SYS_WRITEV, uintptr(fd), uintptr(unsafe.Pointer(&v)), 2)
		if n, err, done := written(n, errno); done {
			return n, err
		}
	}
}

// sendFD writes a header, which may be nothing, and data as one. More that is written later is not put in with it: so the
// kernel looks each time whether too much is waiting already, see setShallow.
func sendFD(fd int32, head, b []byte) (int, error) {
	v := [2]unix.Iovec{{Base: unsafe.SliceData(head), Len: uint64(len(head))}, {Base: &b[0], Len: uint64(len(b))}}
	h := unix.Msghdr{Iov: &v[0]}
	h.SetIovlen(len(v))
	if len(head) == 0 {
		h.Iov = &v[1]
		h.SetIovlen(1)
	}
	for {
		n, _, errno := unix.RawSyscall(unix.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(&h)), unix.MSG_EOR|unix.MSG_NOSIGNAL)
		if n, err, done := written(n, errno); done {
			return n, err
		}
	}
}

// setShallow has the kernel take no more when so many bytes wait to be sent, and say that there is room when it is half
// of that. What is on its way does not count, so that a quick peer far away is sent as much as before.
func setShallow(fd int32, waiting int) {
	_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, waiting) // fails for a unix socket, which is near
}

// unsent is how many bytes a TCP socket was given that are not on their way yet. Of others it knows none.
func unsent(fd int32) int {
	var n int32
	if _, _, errno := unix.RawSyscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCOUTQNSD, uintptr(unsafe.Pointer(&n))); errno != 0 {
		return 0
	}
	return int(n)
}

// setShallowConn does that to the socket beneath a connection, if there is one.
func setShallowConn(nc net.Conn, waiting int) {
	for {
		outer, ok := nc.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		nc = outer.NetConn()
	}
	holder, ok := nc.(syscall.Conn)
	if !ok {
		return
	}
	if raw, err := holder.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { setShallow(int32(fd), waiting) })
	}
}

func written(n uintptr, errno unix.Errno) (int, error, bool) {
	switch errno {
	case 0:
		return int(n), nil, true
	case unix.EINTR:
		return 0, nil, false
	case unix.EAGAIN:
		return 0, nil, true
	}
	return 0, errno, true
}

// peerClosed tells whether there is nothing more to read, now or later.
func peerClosed(fd int32) bool {
	var b [1]byte
	n, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	return n == 0 && err == nil || err == unix.ECONNRESET
}

func shutdownWrite(fd int32) { _ = unix.Shutdown(int(fd), unix.SHUT_WR) }

func closeFD(fd int32) { _ = unix.Close(int(fd)) }

// detach takes the descriptor out of a connection that Go's own poller watched, if it is one that can be taken. The
// connection is closed and the descriptor is ours.
func detach(nc net.Conn) (fd int32, ok bool, err error) {
	switch nc.(type) {
	case *net.TCPConn, *net.UnixConn:
	default:
		return -1, false, nil
	}
	raw, err := nc.(syscall.Conn).SyscallConn()
	if err != nil {
		return -1, false, fmt.Errorf("take descriptor: %w", err)
	}
	own := -1
	var dupErr error
	if err := raw.Control(func(old uintptr) { own, dupErr = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return -1, false, fmt.Errorf("take descriptor: %w", err)
	}
	if dupErr != nil {
		return -1, false, fmt.Errorf("take descriptor: %w", dupErr)
	}
	_ = nc.Close()
	return int32(own), true, nil
}
