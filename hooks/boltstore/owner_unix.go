//go:build unix

package boltstore

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// keepOwner gives a file the owner and the mode of the one that it will replace: the broker must be able to open it
// after a compaction by another user. It uses the descriptor: the name may lead to another file by now.
func keepOwner(file *os.File, like fs.FileInfo) error {
	if err := file.Chmod(like.Mode().Perm()); err != nil {
		return err
	}
	made, err := file.Stat()
	if err != nil {
		return err
	}
	is, known := made.Sys().(*syscall.Stat_t)
	of, alsoKnown := like.Sys().(*syscall.Stat_t)
	if !known || !alsoKnown || is.Uid == of.Uid && is.Gid == of.Gid {
		return nil
	}
	if err := file.Chown(int(of.Uid), int(of.Gid)); err != nil {
		return fmt.Errorf("%w; run this as the user that owns the store", err)
	}
	return nil
}
