package listeners

import (
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A plain connection needs nothing of package net before the Attacher, so it is accepted as a bare descriptor. That
// saves its registration with Go's poller, the setting of options that it inherits from the listening socket, and the
// dup that takes the descriptor out again.

// socket is an accepted descriptor: non-blocking, close-on-exec.
type socket struct {
	fd     int
	remote netip.AddrPort
}

// sockets accepts descriptors. It holds a copy of the listening socket as a file, so that Go's poller can wait for
// it.
type sockets struct {
	file *os.File
	raw  syscall.RawConn
	some []socket // result of the last accept
}

const someSockets = 64 // accepted before the first of them is handed over

// newSockets returns nil if the listener has no descriptor.
func newSockets(l net.Listener) *sockets {
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		return nil
	}
	listening, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	own := -1
	var dupErr error
	err = listening.Control(func(fd uintptr) {
		dupErr = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) // inherited by its connections
		if dupErr == nil {
			own, dupErr = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
		}
	})
	if err != nil || dupErr != nil {
		return nil
	}
	s := &sockets{file: os.NewFile(uintptr(own), "listening socket")}
	if s.raw, err = s.file.SyscallConn(); err != nil {
		_ = s.file.Close()
		return nil
	}
	return s
}

// close ends accept. It may be called on nil.
func (s *sockets) close() {
	if s != nil {
		_ = s.file.Close()
	}
}

// accept waits for connections and returns the pending ones. The result is valid until the next accept.
func (s *sockets) accept() ([]socket, error) {
	s.some = s.some[:0]
	var err error
	closed := s.raw.Read(func(fd uintptr) bool {
		err = s.take(int(fd))
		return len(s.some) > 0 || err != unix.EAGAIN
	})
	switch {
	case len(s.some) > 0:
		return s.some, nil // the error will come again
	case closed != nil:
		return nil, closed
	}
	return nil, os.NewSyscallError("accept4", err)
}

func (s *sockets) take(listening int) error {
	for len(s.some) < someSockets {
		fd, from, err := unix.Accept4(listening, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		s.some = append(s.some, socket{fd, addrPort(from)})
	}
	return nil
}

// inherited sets the keep-alive options of a listening socket; its connections inherit them.
func inherited(keep net.KeepAliveConfig) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		if !keep.Enable {
			return nil
		}
		var err error
		controlErr := c.Control(func(fd uintptr) {
			err = errors.Join(
				unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1),
				unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, int(keep.Idle/time.Second)),
				unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, int(keep.Interval/time.Second)),
				unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPCNT, keep.Count),
			)
		})
		return errors.Join(controlErr, err)
	}
}

func addrPort(from unix.Sockaddr) netip.AddrPort {
	switch a := from.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		ip := netip.AddrFrom16(a.Addr).Unmap()
		if a.ZoneId != 0 && ip.Is6() {
			if i, err := net.InterfaceByIndex(int(a.ZoneId)); err == nil {
				ip = ip.WithZone(i.Name)
			}
		}
		return netip.AddrPortFrom(ip, uint16(a.Port))
	}
	return netip.AddrPort{}
}

// limitMode sets the mode of an unbound socket. Linux gives the file created by bind this mode minus the umask, so
// that a stranger can connect at no moment.
func limitMode(c syscall.RawConn, mode fs.FileMode) error {
	var failed error
	err := c.Control(func(fd uintptr) { failed = syscall.Fchmod(int(fd), uint32(mode.Perm())) })
	if err != nil {
		return err
	}
	return failed
}
