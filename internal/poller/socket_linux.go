package poller

import (
	"fmt"
	"net"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Sockets are non-blocking, so these system calls return at once. They do not tell Go's scheduler: at one call per connection
// and turn, telling it is a large part of a message's cost.

// ReadFD reads at most len(b) bytes, which must not be 0. It returns ErrAgain if there are none now, and 0 at the end of the file.
func ReadFD(fd int32, b []byte) (int, error) {
	for {
		n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, ErrAgain
		default:
			return 0, errno
		}
	}
}

// WriteFD writes as much of b, which must not be empty, as the socket takes: 0 if it is full.
func WriteFD(fd int32, b []byte) (int, error) {
	for {
		n, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
		if n, err, done := written(n, errno); done {
			return n, err
		}
	}
}

// vectors describes two pieces to the kernel. The type of a length differs between 32-bit and 64-bit systems.
func vectors(head, b []byte) (v [2]unix.Iovec) {
	v[0].Base, v[1].Base = unsafe.SliceData(head), unsafe.SliceData(b)
	v[0].SetLen(len(head))
	v[1].SetLen(len(b))
	return v
}

// WriteTwoFD writes a header and data with one system call. It returns how many bytes of both the socket took.
func WriteTwoFD(fd int32, head, b []byte) (int, error) {
	v := vectors(head, b)
	for {
		n, _, errno := unix.RawSyscall(unix.SYS_WRITEV, uintptr(fd), uintptr(unsafe.Pointer(&v)), 2)
		if n, err, done := written(n, errno); done {
			return n, err
		}
	}
}

// SendFD is WriteTwoFD for a socket with a low-water mark; head may be empty. MSG_EOR keeps the kernel from adding later bytes to
// this segment, so it compares the unsent bytes with the mark at each call (see SetLowWater).
func SendFD(fd int32, head, b []byte) (int, error) {
	v := vectors(head, b)
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

// SetLowWater makes the kernel accept no more while waiting bytes are unsent, and report the socket as writable at
// half of that. Bytes in flight do not count, so a fast, distant peer keeps its throughput. It has no effect on a
// unix socket.
func SetLowWater(fd int32, waiting int) {
	_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, waiting)
}

// Unsent is the number of bytes in a TCP socket's send buffer that are not in flight; 0 for other sockets.
func Unsent(fd int32) int {
	var n int32
	if _, _, errno := unix.RawSyscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCOUTQNSD, uintptr(unsafe.Pointer(&n))); errno != 0 {
		return 0
	}
	return int(n)
}

// SetLowWaterConn is SetLowWater for the socket beneath a connection, if there is one.
func SetLowWaterConn(nc net.Conn, waiting int) {
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
		_ = raw.Control(func(fd uintptr) { SetLowWater(int32(fd), waiting) })
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

// PeerClosed reports whether the peer has closed its side and all data was read.
func PeerClosed(fd int32) bool {
	var b [1]byte
	n, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	return n == 0 && err == nil || err == unix.ECONNRESET
}

// ShutdownWrite ends the sending direction.
func ShutdownWrite(fd int32) { _ = unix.Shutdown(int(fd), unix.SHUT_WR) }

// CloseFD closes a descriptor.
func CloseFD(fd int32) { _ = unix.Close(int(fd)) }

// Detach takes the descriptor out of a TCP or unix connection, so that Go's own poller no longer watches it. It then closes the
// connection; the caller owns the descriptor. For other connections ok is false, and the connection is as it was.
func Detach(nc net.Conn) (fd int32, ok bool, err error) {
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
