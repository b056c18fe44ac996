package boltstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
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

// mapBytes is how much of the address space bbolt maps at once where that costs nothing. It maps anew when the file
// outgrows the map, and for that waits until nobody reads: a backup would hold commits up. Tests change it.
var mapBytes = func() int {
	if strconv.IntSize < 64 || runtime.GOOS == "windows" { // where the file would be made as large
		return 0
	}
	gib := 1 << 30
	return 64 * gib
}()

// openFile opens or makes the bbolt file at path.
func openFile(path string) (*handle, error) {
	if path == "" {
		return nil, errNoPath
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, folderMode); err != nil {
		return nil, err
	}
	isNew, err := verifyFile(path)
	if err != nil {
		return nil, err
	}
	h, err := openDB(path, false)
	if err != nil {
		return nil, err
	}
	if isNew {
		err = errors.Join(folder.Sync(dir), folder.Sync(filepath.Dir(dir)))
	} else if target, err := filepath.EvalSymlinks(path); err == nil {
		_ = removeLeftover(target) // or the next one does
	}
	if err == nil {
		err = prepareDB(h)
	}
	if err != nil {
		return nil, errors.Join(err, h.db.Close())
	}
	return h, nil
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
		return false, errNotRegular
	}
	h, err := openDB(path, true)
	if err != nil {
		return false, err
	}
	err = guard(func() error {
		return h.db.View(func(tx *bbolt.Tx) error {
			if _, err := verify(tx, h, nil); err != nil {
				return fmt.Errorf("%w: %w", err, ErrDamaged)
			}
			return checkFormat(tx)
		})
	})
	return false, errors.Join(err, h.db.Close())
}

// openDB opens the bbolt file. Read-only, bbolt looks at no more than the file's two meta pages. Otherwise it works out
// which pages are free by walking the tree: the list of them is not kept in the file (NoFreelistSync), because it would
// have to be written with every commit, and because a damaged one would make bbolt write over what is in use.
func openDB(path string, readOnly bool) (*handle, error) {
	h := &handle{}
	options := &bbolt.Options{
		Timeout:        lockTimeout,
		ReadOnly:       readOnly,
		FreelistType:   bbolt.FreelistMapType,
		NoFreelistSync: true,
		NoStatistics:   true,
		OpenFile: func(name string, flag int, mode fs.FileMode) (_ *os.File, err error) {
			h.file, err = os.OpenFile(name, flag, mode)
			return h.file, err
		},
	}
	if !readOnly {
		options.InitialMmapSize = mapBytes
	}
	err := h.open(path, options)
	if errors.Is(err, syscall.ENOMEM) {
		options.InitialMmapSize = 0 // the address space is limited
		err = h.open(path, options)
	}
	if err != nil {
		return nil, openError(err)
	}
	if err := h.isAt(path); err != nil {
		return nil, errors.Join(err, h.db.Close())
	}
	h.pageSize = h.db.Info().PageSize
	return h, nil
}

func (h *handle) open(path string, o *bbolt.Options) error {
	err := guard(func() (err error) {
		h.db, err = bbolt.Open(path, fileMode, o)
		return err
	})
	if err != nil && h.file != nil {
		h.file.Close() // bbolt has closed it already, unless it panicked
	}
	return err
}

// isAt makes sure that what was opened is what path names. While the lock was waited for, a compacted file may have come
// in the place of the one that was locked, which has no name any more.
func (h *handle) isAt(path string) error {
	opened, err := h.file.Stat()
	if err != nil {
		return err
	}
	named, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !os.SameFile(opened, named) {
		return ErrInUse
	}
	return nil
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

func prepareDB(h *handle) error {
	return guard(func() error {
		prepared := false
		err := h.db.View(func(tx *bbolt.Tx) error {
			prepared = isPrepared(tx)
			return checkFormat(tx)
		})
		if err != nil || prepared {
			return err
		}
		h.setGrowth()
		return h.db.Update(prepare)
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
func rewriteMetas(h *handle) error {
	pages := make([]byte, 2*h.pageSize)
	if _, err := h.file.ReadAt(pages, 0); err != nil {
		return err
	}
	if _, err := h.file.WriteAt(pages, 0); err != nil {
		return err
	}
	return h.file.Sync()
}
