//go:build unix && !solaris && !aix

package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// maxLinks bounds the symbolic links of a path.
const maxLinks = 40

// rights are the ids of a user and its group.
type rights struct {
	uid, gid int
	groups   []int
}

// asOwner runs do with the rights of the user that controls path, if that is not root and this process is root. That
// user could redirect path to any file, so root's rights must not be used there. do may call asOwner for another
// path. It changes the whole process: two goroutines must not call it concurrently.
func asOwner(path string, do func() error) error {
	if os.Getuid() != 0 {
		return do()
	}
	groups, err := syscall.Getgroups()
	if err != nil {
		return err
	}
	before := rights{os.Geteuid(), os.Getegid(), groups}
	owner, err := ownerAsRoot(path, before)
	if err != nil {
		return err
	}
	if owner.uid == before.uid {
		return do()
	}
	if err := owner.take(); err != nil {
		return errors.Join(fmt.Errorf("%s belongs to user %d, and this process cannot switch to that user: %w; run the command as that user",
			path, owner.uid, err), before.take())
	}
	return errors.Join(do(), before.take())
}

// ownerAsRoot finds the owner of a path with root's rights: others may not be allowed to read all of it.
func ownerAsRoot(path string, before rights) (rights, error) {
	root := rights{0, os.Getgid(), []int{os.Getgid()}}
	if before.uid != 0 {
		if err := root.take(); err != nil {
			return root, err
		}
	}
	stat, err := ownerOf(path)
	if before.uid != 0 {
		err = errors.Join(err, before.take())
	}
	if err != nil || stat == nil {
		return root, err
	}
	return rights{int(stat.Uid), int(stat.Gid), []int{int(stat.Gid)}}, nil
}

// take applies rights to the whole process. The real user stays root: so no other user can control the process, and
// root's rights can be restored.
func (r rights) take() error {
	if err := syscall.Setreuid(-1, 0); err != nil {
		return err
	}
	if err := syscall.Setgroups(r.groups); err != nil {
		return err
	}
	if err := syscall.Setregid(-1, r.gid); err != nil {
		return err
	}
	return syscall.Setreuid(-1, r.uid)
}

// ownerOf returns the first owner other than root along a path, its folders and symbolic links, or nil. The owner of
// a file at its end counts if others than root may write to its folder.
func ownerOf(path string) (*syscall.Stat_t, error) {
	if !filepath.IsAbs(path) {
		folder, err := os.Getwd()
		if err != nil {
			return nil, err
		}
		path = folder + "/" + path // not cleaned: the target of .. depends on links
	}
	at, rest, isOpen := "/", split(path), false
	for links := 0; len(rest) > 0; {
		next := filepath.Join(at, rest[0])
		rest = rest[1:]
		info, err := os.Lstat(next)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil // opening it reports the error
		}
		if err != nil {
			return nil, err
		}
		stat := info.Sys().(*syscall.Stat_t)
		if stat.Uid != 0 && (!info.Mode().IsRegular() || isOpen) {
			return stat, nil
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			at, isOpen = next, info.Mode().Perm()&0o022 != 0
			continue
		}
		target, err := os.Readlink(next)
		if err != nil {
			return nil, err
		}
		if links++; links > maxLinks {
			return nil, fmt.Errorf("%s: too many symbolic links", path)
		}
		if filepath.IsAbs(target) {
			at, isOpen = "/", false
		}
		rest = append(split(target), rest...)
	}
	return nil, nil
}

func split(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == filepath.Separator })
}
