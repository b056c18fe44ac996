// Package folder makes the names of files last. It never touches their content.
package folder

import (
	"errors"
	"os"
	"runtime"
)

// Sync makes the names in a folder, of files that were just made or renamed, as lasting as the files' content. An error
// is the system's. On Windows, where a folder cannot be synced, it does nothing.
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
