//go:build unix

package server

import "golang.org/x/sys/unix"

// mayWrite reports whether this process may create files in a folder.
func mayWrite(folder string) bool { return unix.Access(folder, unix.W_OK|unix.X_OK) == nil }
