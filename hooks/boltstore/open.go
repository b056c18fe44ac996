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

// mapBytes returns the size of the address space that bbolt maps in advance where that is free. When the file
// outgrows the map, bbolt maps it again and waits for all readers: a backup would delay commits. Tests change it.
var mapBytes = func() int {
	mib := 1 << 20
	switch {
	case runtime.GOOS == "windows": // the file would be made as large
		return 0
	case strconv.IntSize < 64: // the program has 2 GiB of addresses, and compaction maps two files
		return 256 * mib
	}
	return 64 << 10 * mib
}()

// openFile opens or creates the bbolt file at path.
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
		_ = removeLeftover(target) // or the next start removes it
	}
	if err == nil {
		err = prepareDB(h)
	}
	if err != nil {
		return nil, errors.Join(err, h.db.Close())
	}
	return h, nil
}

// verifyFile checks the tree and the format of the file at path before anything is written to it. It may be missing
// or empty: that of a process that ended before its first write.
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

// openDB opens the bbolt file. Read-only, bbolt reads only the file's two meta pages. Otherwise it finds the free
// pages by walking the tree: their list is not in the file (NoFreelistSync), because it would be written with every
// commit, and because a damaged list would make bbolt overwrite used pages.
func openDB(path string, readOnly bool) (*handle, error) {
	h := &handle{}
	options := &bbolt.Options{
		Timeout:        lockTimeout,
		ReadOnly:       readOnly,
		FreelistType:   bbolt.FreelistMapType,
		NoFreelistSync: true,
		NoStatistics:   readOnly, // a writer needs the number of free pages
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

// isAt checks that the opened file is the one at path. While the lock was awaited, compaction may have replaced the
// locked file, which then has no name.
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

// openError adds the remedy to an error of bbolt.Open. An error that is not the operating system's is due to the
// content.
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
		h.db.AllocSize = int(h.growth())
		return h.db.Update(prepare)
	})
}

// guard runs fn and converts a panic or a fault in the mapped file to ErrDamaged.
func guard(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v: %w", r, ErrDamaged)
		}
	}()
	return fn()
}

// rewriteMetas rewrites the file's two meta pages unchanged and syncs them. After a failed sync the operating system
// may show a meta page that the disk never got. bbolt would build on that page, and overwrite pages of the older one,
// the only one that would survive a crash.
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
