package boltstore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/outcry-mqtt/outcry/hooks/internal/folder"
)

// ErrExists is returned if a backup's file exists already.
var ErrExists = errors.New("file exists; choose another name, or allow its replacement")

// BackupOptions configure SaveBackup.
type BackupOptions struct {
	Path     string // the file, created with mode 0600
	Replace  bool   // replace an existing file
	Progress func(done, total int64)
}

// SaveBackup creates the file at o.Path with the output of fill, a store's file as from Snapshot.WriteTo. When
// SaveBackup returns nil the file is complete, on disk and checked; otherwise the old one is unchanged.
func SaveBackup(ctx context.Context, o BackupOptions, fill func(w io.Writer) error) (*Report, error) {
	r, err := saveBackup(ctx, o, fill)
	if err != nil {
		return nil, fmt.Errorf("backup %s: %w", o.Path, err)
	}
	return r, nil
}

func saveBackup(ctx context.Context, o BackupOptions, fill func(w io.Writer) error) (*Report, error) {
	if err := o.isFree(); err != nil {
		return nil, err
	}
	temp, err := writeTemp(o.Path, fill)
	if err != nil {
		return nil, err
	}
	defer os.Remove(temp) // unless it was renamed
	r, err := checkCopy(ctx, temp, CheckOptions{Progress: o.Progress})
	if err != nil {
		return nil, err
	}
	if err := o.isFree(); err != nil {
		return nil, err
	}
	if err := os.Rename(temp, o.Path); err != nil {
		return nil, err
	}
	return r, folder.Sync(filepath.Dir(o.Path))
}

// isFree returns an error if the file must not be written.
func (o *BackupOptions) isFree() error {
	if o.Path == "" {
		return errNoPath
	}
	info, err := os.Lstat(o.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.IsDir():
		return errors.New("a folder; name a file in it")
	case !o.Replace:
		return ErrExists
	}
	return nil
}

// writeTemp creates a file beside path, with mode 0600 and the output of fill, and syncs it.
func writeTemp(path string, fill func(w io.Writer) error) (name string, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return "", err
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			os.Remove(f.Name())
		}
	}()
	w := bufio.NewWriterSize(f, 1<<20)
	if err := fill(w); err != nil {
		return "", err
	}
	if err := w.Flush(); err != nil {
		return "", err
	}
	return f.Name(), f.Sync()
}

// checkCopy checks a copy of a store before it is used. Damage is an error.
func checkCopy(ctx context.Context, path string, o CheckOptions) (*Report, error) {
	snap, err := openSnapshot(path)
	if err != nil {
		return nil, copyError(err)
	}
	defer snap.Close() // it was only read
	r, err := snap.Check(ctx, o)
	if err != nil {
		return nil, err
	}
	return r, copyError(r.Err())
}

func copyError(err error) error {
	if errors.Is(err, ErrDamaged) {
		return fmt.Errorf("the copy is damaged and was deleted; check the store itself: %w", err)
	}
	return err
}
