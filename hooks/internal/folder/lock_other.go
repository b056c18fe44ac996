//go:build !unix || solaris || aix

package folder

import (
	"io/fs"
	"os"
)

// Lock does nothing: this system has no lock that is released in any case.
func Lock(string) (unlock func(), err error) { return func() {}, nil }

func keepOwner(*os.File, fs.FileInfo) {}
