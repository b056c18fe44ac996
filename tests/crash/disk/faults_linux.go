package disk

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Faults makes the writes and syncs of a process fail, in spells. A spell's length is in system calls, so that it
// depends on Random only; a bad spell also ends after some time, because a broker with a failed store retries less
// and less often.
type Faults struct {
	Random *rand.Rand // not shared

	mu     sync.Mutex // guards the fields below
	armed  bool
	bad    bool
	left   int       // calls until the spell ends
	until  time.Time // time limit of the bad spell
	failed int
}

// Lengths of spells.
const (
	maxGood    = 80 // calls
	maxBad     = 8
	maxBadTime = 500 * time.Millisecond
)

// reasons are the errors of a failing disk.
var reasons = []unix.Errno{unix.EIO, unix.ENOSPC, unix.EDQUOT}

// Arm starts or ends the period in which calls may fail.
func (f *Faults) Arm(on bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.armed = on
}

// Failed returns the number of failed calls.
func (f *Faults) Failed() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failed
}

// Start starts a command and decides about its system calls until the process ends. For that it starts the calling
// program again, as CommandFiltered.
func (f *Faults) Start(cmd *exec.Cmd) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket pair: %w", err)
	}
	defer unix.Close(pair[0])
	theirs := os.NewFile(uintptr(pair[1]), "filter")
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.Args = append([]string{self, CommandFiltered, cmd.Path}, cmd.Args[1:]...)
	cmd.Path = self
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		return err
	}
	listener, err := receive(pair[0])
	if err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return fmt.Errorf("%w: %w", err, ErrUnsupported)
	}
	go f.supervise(listener)
	return nil
}

// receive receives a descriptor.
func receive(socket int) (int, error) {
	oob := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(socket, make([]byte, 1), oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return 0, fmt.Errorf("receive the filter: %w", err)
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(messages) == 0 {
		return 0, errors.New("the filter of system calls could not be installed")
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return 0, err
	}
	return fds[0], nil
}

// notice is a pending call: struct seccomp_notif.
type notice struct {
	id         uint64
	pid, flags uint32
	call       int32
	arch       uint32
	ip         uint64
	args       [6]uint64
}

// answer is struct seccomp_notif_resp.
type answer struct {
	id    uint64
	value int64
	errno int32
	flags uint32
}

// supervise answers until the process has ended.
func (f *Faults) supervise(listener int) {
	defer unix.Close(listener)
	for {
		fds := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}}
		_, err := unix.Poll(fds, -1)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil || fds[0].Revents&unix.POLLIN == 0:
			return
		}
		var n notice
		if control(listener, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&n)) != nil {
			continue // the process was killed, or a signal interrupted the call, which then comes again
		}
		a := answer{id: n.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
		if reason := f.decide(); reason != 0 {
			a.errno, a.flags = -int32(reason), 0
		}
		_ = control(listener, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&a)) // as above
	}
}

func control(fd int, request uint, arg unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(arg)); errno != 0 {
		return errno
	}
	return nil
}

// decide returns the error of the next call; 0: it succeeds.
func (f *Faults) decide() unix.Errno {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.armed {
		return 0
	}
	if f.left--; f.left < 0 || f.bad && time.Now().After(f.until) {
		f.bad = !f.bad
		f.left = f.Random.IntN(maxGood)
		if f.bad {
			f.left, f.until = f.Random.IntN(maxBad), time.Now().Add(maxBadTime)
		}
	}
	if !f.bad || f.Random.IntN(4) == 0 {
		return 0
	}
	f.failed++
	return reasons[f.Random.IntN(len(reasons))]
}
