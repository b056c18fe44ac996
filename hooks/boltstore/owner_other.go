//go:build !unix

package boltstore

import (
	"io/fs"
	"os"
)

// keepOwner does nothing: the folder's rules determine the owner.
func keepOwner(*os.File, fs.FileInfo) error { return nil }
