package boltstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/outcry-mqtt/outcry/hooks/internal/folder"
)

// compactSuffix is behind the name of a store's file in that of the one that will replace it. One that is left over, by a
// process that was killed, is removed when the store is opened.
const compactSuffix = ".compact"

// roomIn tells how much can be written to a folder. Tests change it.
var roomIn = freeBytes

// CompactOptions say how a store is compacted.
type CompactOptions struct {
	// Progress is called often, with how much of how much is done, in no unit. nil: nobody is told.
	Progress func(done, total int64)
}

// Compaction tells what compacting did.
type Compaction struct {
	Before int64 `json:"before"` // bytes of the file
	After  int64 `json:"after"`
}

// CompactFile puts, in the place of a store's file that nobody has open, a new one without what is free in it. It needs
// room for both. Whatever happens, one of the two whole files is there under the name. Errors are those of OpenSnapshot
// and Check, and before anything is written that there is not enough room.
func CompactFile(ctx context.Context, path string, o CompactOptions) (*Compaction, error) {
	c, err := compactFile(ctx, path, o)
	if err != nil {
		return nil, fmt.Errorf("compact store %s: %w", path, err)
	}
	return c, nil
}

func compactFile(ctx context.Context, path string, o CompactOptions) (*Compaction, error) {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, err
	}
	snap, err := openSnapshot(path)
	if err != nil {
		return nil, err
	}
	err = errors.Join(mayCompact(ctx, snap, path, o), snap.Close())
	if err != nil {
		return nil, err
	}
	h, err := openDB(path, false) // so that nobody else has it open until it is replaced
	if err != nil {
		return nil, err
	}
	if snap, err = snapshotOf(path, h); err != nil {
		return nil, err
	}
	defer snap.Close() // it was only read
	c, err := writeCompact(ctx, snap, path, o)
	if err != nil {
		return nil, err
	}
	if err := os.Rename(path+compactSuffix, path); err != nil {
		return nil, errors.Join(err, os.Remove(path+compactSuffix))
	}
	return c, folder.Sync(filepath.Dir(path))
}

// mayCompact tells what prevents compacting: damage, or no room for the new file.
func mayCompact(ctx context.Context, snap *Snapshot, path string, o CompactOptions) error {
	r, err := snap.Check(ctx, CheckOptions{Progress: half(o.Progress, 0)})
	if err == nil {
		err = r.Err()
	}
	if err != nil {
		return err
	}
	needed := r.UsedBytes() + r.UsedBytes()/8 + 1<<20
	free, known := roomIn(filepath.Dir(path))
	if known && free < needed {
		return fmt.Errorf("it takes %s in %s for a while, and %s are free; make room for %s more",
			mib(needed), filepath.Dir(path), mib(free), mib(needed-free))
	}
	return nil
}

// writeCompact makes the file that is to replace the one at path, of what snap has: on disk, checked, and of the same
// owner. If it fails there is none.
func writeCompact(ctx context.Context, snap *Snapshot, path string, o CompactOptions) (_ *Compaction, err error) {
	temp := path + compactSuffix
	if err := removeLeftover(path); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			os.Remove(temp)
		}
	}()
	before, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	copied, err := copySnapshot(ctx, snap, temp, half(o.Progress, 1))
	if err != nil {
		return nil, err
	}
	if err := keepOwner(temp, before); err != nil {
		return nil, err
	}
	r, err := checkCopy(ctx, temp, CheckOptions{})
	if err != nil {
		return nil, err
	}
	if !slices.Equal(r.Spaces, copied.Spaces) {
		return nil, fmt.Errorf("the copy is not the same, and was thrown away: it has %+v, and not %+v", r.Spaces, copied.Spaces)
	}
	return &Compaction{Before: before.Size(), After: r.FileBytes}, nil
}

// removeLeftover removes what a process that was killed while it compacted the file at path has left.
func removeLeftover(path string) error {
	if err := os.Remove(path + compactSuffix); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// half makes the progress of a step that of the first or second half of the work.
func half(progress func(done, total int64), n int64) func(done, total int64) {
	return func(done, total int64) {
		if progress != nil {
			progress(n*total+done, 2*total)
		}
	}
}

// mib returns so many bytes in words, rounded up.
func mib(bytes int64) string { return fmt.Sprintf("%d MiB", (bytes+1<<20-1)>>20) }
