package boltstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/outcry-mqtt/outcry/hooks/internal/folder"
	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

const (
	fileMode    fs.FileMode = 0o600
	folderMode  fs.FileMode = 0o700
	lockTimeout             = time.Second
)

// openFile opens or makes the bbolt file at path. The *os.File is the one that bbolt reads and writes.
func openFile(path string) (*bbolt.DB, *os.File, error) {
	if path == "" {
		return nil, nil, errors.New("no path is given")
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, folderMode); err != nil {
		return nil, nil, err
	}
	isNew, err := verifyFile(path)
	if err != nil {
		return nil, nil, err
	}
	db, file, err := openDB(path, false)
	if err != nil {
		return nil, nil, err
	}
	if isNew {
		err = errors.Join(folder.Sync(dir), folder.Sync(filepath.Dir(dir)))
	}
	if err == nil {
		err = prepareDB(db)
	}
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return db, file, nil
}

// verifyFile checks the tree and the format of the file at path before anything is written to it. There may be none,
// or an empty one: that of a process that ended before it had written anything.
func verifyFile(path string) (isNew bool, err error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Mode().IsRegular() && info.Size() == 0 {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	if !info.Mode().IsRegular() {
		return false, errors.New("not a regular file")
	}
	db, file, err := openDB(path, true)
	if err != nil {
		return false, err
	}
	err = guard(func() error {
		return db.View(func(tx *bbolt.Tx) error {
			if err := verify(tx, file, info.Size()); err != nil {
				return fmt.Errorf("%w: %w", err, ErrDamaged)
			}
			return checkFormat(tx)
		})
	})
	return false, errors.Join(err, db.Close())
}

// openDB opens the bbolt file. Read-only, bbolt looks at no more than the file's two meta pages. Otherwise it works out
// which pages are free by walking the tree: the list of them is not kept in the file (NoFreelistSync), because it would
// have to be written with every commit, and because a damaged one would make bbolt write over what is in use.
func openDB(path string, readOnly bool) (db *bbolt.DB, file *os.File, err error) {
	options := &bbolt.Options{
		Timeout:        lockTimeout,
		ReadOnly:       readOnly,
		FreelistType:   bbolt.FreelistMapType,
		NoFreelistSync: true,
		NoStatistics:   true,
		OpenFile: func(name string, flag int, mode fs.FileMode) (_ *os.File, err error) {
			file, err = os.OpenFile(name, flag, mode)
			return file, err
		},
	}
	err = guard(func() (err error) {
		db, err = bbolt.Open(path, fileMode, options)
		return err
	})
	if err == nil {
		return db, file, nil
	}
	if file != nil {
		file.Close() // bbolt has closed it already, unless it panicked
	}
	return nil, nil, openError(err)
}

// openError says what to do about an error of bbolt.Open. What the operating system did not refuse, the content is the
// reason of.
func openError(err error) error {
	var errno syscall.Errno
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return ErrInUse
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w; let the user that runs Outcry read and write it", err)
	case errors.As(err, &errno), errors.Is(err, ErrDamaged):
		return err
	}
	return fmt.Errorf("%w: %w", err, ErrDamaged)
}

func prepareDB(db *bbolt.DB) error {
	return guard(func() error {
		prepared := false
		err := db.View(func(tx *bbolt.Tx) error {
			prepared = isPrepared(tx)
			return checkFormat(tx)
		})
		if err != nil || prepared {
			return err
		}
		return db.Update(prepare)
	})
}

// guard runs fn and turns a panic or a fault of reading the mapped file into ErrDamaged.
func guard(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v: %w", r, ErrDamaged)
		}
	}()
	return fn()
}

// rewriteMetas writes the file's two meta pages as they are and syncs them. After a failed sync the operating system may
// show a meta page that the disk never got. bbolt would build on that page, and overwrite pages that the older one, all
// that a crash would leave, still refers to.
func rewriteMetas(file *os.File, pageSize int) error {
	pages := make([]byte, 2*pageSize)
	if _, err := file.ReadAt(pages, 0); err != nil {
		return err
	}
	if _, err := file.WriteAt(pages, 0); err != nil {
		return err
	}
	return file.Sync()
}
