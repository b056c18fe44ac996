package folder

import (
	"errors"
	"os"
	"path/filepath"
)

// Replace replaces the file at path, or the one that a link there leads to, as a whole: a crash leaves the old one or the
// new one. A new file can be read by its owner alone; one that was there keeps its mode and, where we may say so, its
// owner. Errors are the system's.
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
		_ = file.Chmod(old.Mode().Perm()) // after the owner, who may have changed what the mode means
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
