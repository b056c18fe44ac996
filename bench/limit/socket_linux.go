package main

import (
	"log"
	"unsafe"

	"golang.org/x/sys/unix"
)

// duplicate returns another descriptor of the same socket.
func duplicate(fd int) (int, error) { return unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0) }

func closeFD(fd int) { _ = unix.Close(fd) }

// readFD reads the available bytes. again means that there are none now; 0 bytes otherwise are the end.
func readFD(fd int, b []byte) (n int, again bool) {
	r, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	switch errno {
	case 0:
		return int(r), false
	case unix.EAGAIN, unix.EINTR:
		return 0, true
	}
	return 0, false
}

// writeFD writes all of b, waiting while the socket is full. It ignores a closed peer.
func writeFD(fd int, b []byte) {
	for len(b) > 0 {
		n, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
		switch errno {
		case 0:
			b = b[n:]
		case unix.EINTR:
		case unix.EAGAIN:
			if _, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, -1); err != nil && err != unix.EINTR {
				log.Fatal(err)
			}
		default:
			return
		}
	}
}
