//go:build unix

package boltstore

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// keepOwner gives the file at path the owner and the mode of the one that it will replace: the broker must be able to
// open it, whoever compacted it.
func keepOwner(path string, like fs.FileInfo) error {
	if err := os.Chmod(path, like.Mode().Perm()); err != nil {
		return err
	}
	of, known := like.Sys().(*syscall.Stat_t)
	if !known {
		return nil
	}
	if err := os.Chown(path, int(of.Uid), int(of.Gid)); err != nil {
		return fmt.Errorf("%w; run this as the user that owns the store", err)
	}
	return nil
}
