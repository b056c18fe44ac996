package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// rollBackStore saves a copy of the store before every third round, and restores it two rounds later, if the run is to lie.
func (t *trial) rollBackStore() error {
	if !t.lie || t.round == 0 {
		return nil
	}
	store, older := filepath.Join(t.victim.Data, storeFile), filepath.Join(t.folder, "older.db")
	switch t.round % 3 {
	case 0:
		return copyFile(older, store)
	case 2:
		err := copyFile(store, older)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // nothing was saved yet
		}
		t.log.Trace("", "an older store is put back")
		return err
	}
	return nil
}

func copyFile(to, from string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, content, 0o600)
}
