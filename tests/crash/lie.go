package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// deceive keeps a copy of the data before every third round, and puts it back two rounds later, if the run is to lie.
func (t *trial) deceive() error {
	if !t.lie || t.round == 0 {
		return nil
	}
	older := filepath.Join(t.folder, "older")
	switch t.round % 3 {
	case 0:
		return replace(older, t.victim.Data)
	case 2:
		t.log.Trace("", "an older store is put back")
		err := replace(t.victim.Data, older)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	return nil
}

// replace makes the folder to a copy of the folder from.
func replace(to, from string) error {
	if _, err := os.Stat(from); err != nil {
		return err
	}
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	return os.CopyFS(to, os.DirFS(from))
}
