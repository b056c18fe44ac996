package poller

import (
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Supported reports that descriptors can be added on this system.
const Supported = true

// wakeToken marks the poller's own eventfd.
const wakeToken = ^uint64(0)

// Poller is one epoll instance. Add, Change, Remove and Wait belong to the goroutine that owns it; Wake may be called
// from anywhere until Close.
type Poller struct {
	epoll, wake int
	asleep      atomic.Bool // the owner waits, or is about to
	woken       atomic.Bool // Wake was called since the last Wait
	raw         [256]unix.EpollEvent
	events      [256]Event
}

// New returns a poller with no descriptors.
func New() (*Poller, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create epoll: %w", err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		_ = unix.Close(epoll)
		return nil, fmt.Errorf("create eventfd: %w", err)
	}
	p := &Poller{epoll: epoll, wake: wake}
	if err := p.control(unix.EPOLL_CTL_ADD, wake, wakeToken, unix.EPOLLIN|unix.EPOLLET); err != nil {
		_ = p.Close()
		return nil, err
	}
	return p, nil
}

// Add watches a non-blocking descriptor. Its events carry token.
func (p *Poller) Add(fd int, token uint64, i Interest) error {
	return p.control(unix.EPOLL_CTL_ADD, fd, token, mask(i))
}

// Change watches a descriptor for other conditions.
func (p *Poller) Change(fd int, token uint64, i Interest) error {
	return p.control(unix.EPOLL_CTL_MOD, fd, token, mask(i))
}

// Remove stops watching a descriptor; closing it does the same.
func (p *Poller) Remove(fd int) error { return p.control(unix.EPOLL_CTL_DEL, fd, 0, 0) }

// Join makes p's Wait return a readable event with token while other has events. One goroutine owns both pollers
// until Leave.
func (p *Poller) Join(other *Poller, token uint64) error {
	return p.control(unix.EPOLL_CTL_ADD, other.epoll, token, unix.EPOLLIN)
}

// Leave undoes Join.
func (p *Poller) Leave(other *Poller) error { return p.Remove(other.epoll) }

func mask(i Interest) (m uint32) {
	if i&Read != 0 {
		m |= unix.EPOLLIN | unix.EPOLLRDHUP
	}
	if i&Write != 0 {
		m |= unix.EPOLLOUT
	}
	return m
}

func (p *Poller) control(op, fd int, token uint64, events uint32) error {
	e := unix.EpollEvent{Events: events, Fd: int32(token), Pad: int32(token >> 32)}
	if err := unix.EpollCtl(p.epoll, op, fd, &e); err != nil {
		return fmt.Errorf("epoll_ctl: %w", err)
	}
	return nil
}

// Prepare announces that Wait follows. After Prepare the owner must check its inbox: later posts wake the Wait,
// earlier ones do not.
func (p *Poller) Prepare() { p.asleep.Store(true) }

// Wake ends the current or next Wait.
func (p *Poller) Wake() {
	if !p.asleep.Load() || p.woken.Swap(true) {
		return
	}
	one := uint64(1)
	_, _ = unix.Write(p.wake, unsafe.Slice((*byte)(unsafe.Pointer(&one)), 8))
}

// Wait returns the events, waiting at most timeout (negative: no limit). The result is valid until the next Wait.
// Busy enters the system call without telling Go's scheduler. That costs a third of the processor time of a usual
// wait, but the goroutine keeps its processor meanwhile, so it is for short waits while processors are free. A signal
// of the scheduler (to stop the world, or to preempt after 10 ms) ends such a wait early, with no events.
func (p *Poller) Wait(timeout time.Duration, busy bool) ([]Event, error) {
	n, errno := p.wait(milliseconds(timeout), busy)
	p.asleep.Store(false)
	if errno != 0 && errno != unix.EINTR {
		return nil, fmt.Errorf("epoll_wait: %w", errno)
	}
	out := p.events[:0]
	for i := range p.raw[:n] {
		r := &p.raw[i]
		token := uint64(uint32(r.Fd)) | uint64(uint32(r.Pad))<<32
		if token == wakeToken {
			p.woken.Store(false)
			continue
		}
		out = append(out, Event{
			Token:    token,
			Readable: r.Events&(unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0,
			Writable: r.Events&(unix.EPOLLOUT|unix.EPOLLHUP|unix.EPOLLERR) != 0,
			HungUp:   r.Events&(unix.EPOLLHUP|unix.EPOLLERR) != 0,
		})
	}
	return out, nil
}

// maxWait is the longest timeout in milliseconds that fits the system call's signed 32 bits: 24 days.
const maxWait = math.MaxInt32 * time.Millisecond

// milliseconds rounds up, so that no wait ends before its timer is due. A wait beyond maxWait ends early.
func milliseconds(d time.Duration) int {
	if d < 0 {
		return -1
	}
	return int((min(d, maxWait) + time.Millisecond - 1) / time.Millisecond)
}

func (p *Poller) wait(ms int, busy bool) (int, unix.Errno) {
	enter := unix.Syscall6
	if busy || ms == 0 {
		enter = unix.RawSyscall6
	}
	n, _, errno := enter(unix.SYS_EPOLL_PWAIT, uintptr(p.epoll), uintptr(unsafe.Pointer(&p.raw)), uintptr(len(p.raw)),
		uintptr(ms), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// Close releases the poller. The added descriptors stay open.
func (p *Poller) Close() error {
	return errors.Join(unix.Close(p.epoll), unix.Close(p.wake))
}

// ProcessorTime returns the processor time used by the program since its start; 0 if it cannot be read.
func ProcessorTime() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}
