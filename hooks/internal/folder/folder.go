// Package folder makes file names durable and replaces files atomically.
package folder

import (
	"errors"
	"os"
	"path/filepath"
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

// Replace replaces the file at path, or the target of a link there, atomically: a crash leaves the old or the new
// one. A new file is readable by its owner only; a replaced one keeps its mode and, if permitted, its owner. Errors
// are the system's.
func Replace(path string, text []byte) (err error) {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	dir := filepath.Dir(path)
	file, err := os.CreateTemp(dir, filepath.Base(path)+".new-*") // with mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(file.Name())
		}
	}()
	if old, err := os.Stat(path); err == nil {
		keepOwner(file, old)
		_ = file.Chmod(old.Mode().Perm()) // after the owner, whose change may have altered the mode
	}
	_, err = file.Write(text)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	if err = os.Rename(file.Name(), path); err != nil {
		return err
	}
	return Sync(dir)
}
