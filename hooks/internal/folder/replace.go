package folder

import (
	"errors"
	"os"
	"path/filepath"
)

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
