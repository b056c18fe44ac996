// Package folder makes file names durable and replaces files atomically.
package folder

import (
	"errors"
	"os"
	"runtime"
)

// Sync makes the names of new or renamed files in a folder as durable as their content. Errors are the system's. On
// Windows, where a folder cannot be synced, it does nothing.
func Sync(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
