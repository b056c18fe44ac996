package listeners

import (
	"io/fs"
	"os"
	"slices"
)

// followed is what some files hold; while they are broken or half written, what they held before. It is not for
// several goroutines at once.
type followed[T any] struct {
	names []string
	load  func() (T, error)

	seen  []fs.FileInfo // of the files when they were last read, whether that succeeded or not
	value T
}

// changed reports whether the files look different from when they were read.
func (f *followed[T]) changed() bool {
	return !slices.EqualFunc(f.stat(), f.seen, sameFile)
}

// read loads the files. It notes what they looked like before, so that a change in between is found the next time.
func (f *followed[T]) read() error {
	f.seen = f.stat()
	next, err := f.load()
	if err != nil {
		return err
	}
	f.value = next
	return nil
}

// stat describes the files; nil stands for one that is missing.
func (f *followed[T]) stat() []fs.FileInfo {
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
