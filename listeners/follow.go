package listeners

import (
	"io/fs"
	"os"
	"slices"
)

// watchedFiles is the content of some files; while they are broken or half written, their last valid content. It is not
// safe for concurrent use.
type watchedFiles[T any] struct {
	names []string
	load  func() (T, error)

	seen  []fs.FileInfo // of the files at the last read, successful or not
	value T
}

// changed reports whether the files differ from the last read.
func (f *watchedFiles[T]) changed() bool {
	return !slices.EqualFunc(f.stat(), f.seen, sameFile)
}

// read loads the files. It records their state before the read, so that the next check finds a change in between.
func (f *watchedFiles[T]) read() error {
	f.seen = f.stat()
	next, err := f.load()
	if err != nil {
		return err
	}
	f.value = next
	return nil
}

// stat describes the files; nil: the file is missing.
func (f *watchedFiles[T]) stat() []fs.FileInfo {
	files := make([]fs.FileInfo, len(f.names))
	for i, name := range f.names {
		if info, err := os.Stat(name); err == nil {
			files[i] = info
		}
	}
	return files
}

func sameFile(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}
