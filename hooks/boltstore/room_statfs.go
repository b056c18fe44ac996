//go:build linux || darwin

package boltstore

import "golang.org/x/sys/unix"

// freeBytes returns the bytes that this user can still write to the file system of a folder.
func freeBytes(folder string) (bytes int64, known bool) {
	var fs unix.Statfs_t
	if err := unix.Statfs(folder, &fs); err != nil {
		return 0, false
	}
	return int64(fs.Bavail) * int64(fs.Bsize), true
}
