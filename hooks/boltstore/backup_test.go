package boltstore_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/broker/storage"
	"github.com/outcry-mqtt/outcry/hooks/boltstore"
)

// fillFrom returns a fill function for a snapshot.
func fillFrom(snap *boltstore.Snapshot) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := snap.WriteTo(w)
		return err
	}
}

func TestBackupBesideCommits(t *testing.T) {
	s := mustOpen(t, boltstore.Options{Path: tempPath(t)})
	want := make(map[string]string)
	for i := range 500 {
		key := fmt.Sprint("before/", i)
		want[key] = valueOf(key)
		s.Commit(ops(put(key, want[key])), func(error) {})
	}
	mustCommit(t, s)
	snap, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	path := filepath.Join(t.TempDir(), "backup.db")
	r, err := boltstore.SaveBackup(t.Context(), boltstore.BackupOptions{Path: path}, func(w io.Writer) error {
		var copied bytes.Buffer
		n, err := snap.WriteTo(io.MultiWriter(&copied, writerFunc(func(b []byte) (int, error) {
			mustCommit(t, s, put("before/7", "changed"), del("before/8"), put("meanwhile", "1"))
			return len(b), nil
		})))
		if n != snap.Size() || int64(copied.Len()) != n {
			t.Errorf("%d bytes were written, %d counted, %d promised", copied.Len(), n, snap.Size())
		}
		w.Write(copied.Bytes())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if r.Spaces[storage.SpaceRetained].Keys != 500 {
		t.Errorf("the report is %+v", r)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("it is %v, %v", info, err)
	}
	wantPairs(t, load(t, mustOpen(t, boltstore.Options{Path: path})), want)
}

type writerFunc func([]byte) (int, error)

// Write calls the function.
func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

func TestBackupLeavesNothingHalf(t *testing.T) {
	broken := errors.New("the line is broken")
	whole := storeFile(t)
	for name, test := range map[string]struct {
		options boltstore.BackupOptions
		fill    func(w io.Writer) error
		want    error
	}{
		"broken": {boltstore.BackupOptions{Replace: true}, func(w io.Writer) error {
			w.Write(whole[:len(whole)/2])
			return broken
		}, broken},
		"short": {boltstore.BackupOptions{Replace: true}, func(w io.Writer) error {
			_, err := w.Write(whole[:len(whole)/2])
			return err
		}, boltstore.ErrDamaged},
		"damaged": {boltstore.BackupOptions{Replace: true}, func(w io.Writer) error {
			_, err := w.Write(bytes.ReplaceAll(whole, []byte("large large"), []byte("large lArge")))
			return err
		}, boltstore.ErrDamaged},
		"there already": {boltstore.BackupOptions{}, func(io.Writer) error {
			t.Error("it was written")
			return nil
		}, boltstore.ErrExists},
	} {
		t.Run(name, func(t *testing.T) {
			o := test.options
			o.Path = filepath.Join(t.TempDir(), "backup.db")
			write(t, o.Path, []byte("the last one"))
			_, err := boltstore.SaveBackup(t.Context(), o, test.fill)
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), o.Path) {
				t.Errorf("the error is %v", err)
			}
			names, _ := os.ReadDir(filepath.Dir(o.Path))
			if content, _ := os.ReadFile(o.Path); string(content) != "the last one" || len(names) != 1 {
				t.Errorf("there are %v; the file has %d bytes", names, len(content))
			}
		})
	}
}

func TestBackupReplaces(t *testing.T) {
	path := filepath.Join(t.TempDir(), "backup.db")
	write(t, path, []byte("the last one"))
	source := tempPath(t)
	write(t, source, storeFile(t))
	o := boltstore.BackupOptions{Path: path, Replace: true}
	if _, err := boltstore.SaveBackup(t.Context(), o, fillFrom(mustSnapshot(t, source))); err != nil {
		t.Fatal(err)
	}
	wantPairs(t, load(t, mustOpen(t, boltstore.Options{Path: path})), filePairs)
}
