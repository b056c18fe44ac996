package disk

import (
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// socketFD is the descriptor to which Filtered sends its filter's descriptor.
const socketFD = 3

// filtered are the system calls that may fail: those that change and sync a file in place. A broker uses them for its
// files only.
var filtered = []uint32{unix.SYS_PWRITE64, unix.SYS_FSYNC, unix.SYS_FDATASYNC, unix.SYS_FTRUNCATE}

// Filtered installs a filter that asks the parent process about each filtered system call, and then becomes the
// program in args. It returns only if it fails.
func Filtered(args []string) error {
	runtime.LockOSThread() // the filter is per thread, and execve keeps only this one
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no new privileges: %w", err)
	}
	listener, err := installFilter()
	if err != nil {
		return err
	}
	if err := unix.Sendmsg(socketFD, []byte{0}, unix.UnixRights(listener), nil, 0); err != nil {
		return fmt.Errorf("hand over the filter: %w", err)
	}
	unix.CloseOnExec(socketFD)
	unix.CloseOnExec(listener)
	return fmt.Errorf("execute %s: %w", args[0], unix.Exec(args[0], args, os.Environ()))
}

// installFilter installs the filter for this thread, and returns its descriptor.
func installFilter() (listener int, err error) {
	program := filterProgram()
	f := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER,
		uintptr(unsafe.Pointer(&f)))
	if errno != 0 {
		return 0, fmt.Errorf("filter system calls: %w", errno)
	}
	return int(fd), nil
}

// filterProgram asks about the filtered system calls and allows all others. The system call's number is the first
// field of the filter's input. All processes here have the same architecture, so it is not checked.
func filterProgram() []unix.SockFilter {
	program := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}}
	for i, call := range filtered {
		skip := uint8(len(filtered) - i) // to the last instruction
		program = append(program, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: call, Jt: skip})
	}
	return append(program,
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_USER_NOTIF})
}
