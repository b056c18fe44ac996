package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// Inside starts a command in a mount namespace of its own, so that its mounts end with it. Without root it gets a
// user namespace as well. ErrUnsupported means that neither is allowed.
func Inside(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
	if uid, gid := os.Geteuid(), os.Getegid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: gid, Size: 1}}
	}
	err := cmd.Start()
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSPC) {
		return fmt.Errorf("mount namespace: %w: %w", err, ErrUnsupported)
	}
	return err
}

// Mount mounts a file system in memory of that size on folder. The process must have been started by Inside.
func Mount(folder string, bytes int64) error {
	if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("keep mounts from others: %w", err)
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	if err := unix.Mount("outcry-crash", folder, "tmpfs", 0, fmt.Sprintf("size=%d,mode=700", bytes)); err != nil {
		return fmt.Errorf("mount a small file system: %w", err)
	}
	return nil
}

// Unmount undoes Mount, even while files are open.
func Unmount(folder string) error { return unix.Unmount(folder, unix.MNT_DETACH) }

// Limit stops the process pid from growing a file beyond the present size of the file at path, up to the system's
// rounding. It simulates a full disk.
func Limit(pid int, path string) error {
	info, err := os.Stat(filepath.Clean(path))
	if err != nil {
		return err
	}
	return limit(pid, func(old unix.Rlimit) uint64 { return min(uint64(info.Size()), old.Max) })
}

// Lift undoes Limit.
func Lift(pid int) error { return limit(pid, func(old unix.Rlimit) uint64 { return old.Max }) }

func limit(pid int, soft func(old unix.Rlimit) uint64) error {
	var old unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, nil, &old); err != nil {
		return fmt.Errorf("read the limit of file sizes: %w", err)
	}
	now := unix.Rlimit{Cur: soft(old), Max: old.Max}
	if err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, &now, nil); err != nil {
		return fmt.Errorf("limit the size of files: %w", err)
	}
	return nil
}
