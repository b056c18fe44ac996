package denylist

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/outcry-mqtt/outcry/hooks/internal/folder"
)

// ErrNoEntry is Remove's error if the file lacks the entry.
var ErrNoEntry = errors.New("no such entry")

// Read returns the entries of the file at path in its order, expired ones included.
func Read(path string) ([]Entry, error) {
	text, err := readFile(path)
	if err != nil {
		return nil, err
	}
	return Parse(path, text)
}

// Add writes an entry to the file at path, replacing one with the same kind and value, and creates a missing file. It
// removes expired entries. The file is replaced atomically: a crash leaves the old or the new one, and of two
// concurrent edits neither is lost.
func Add(path string, e Entry) error {
	if strings.ContainsAny(e.Note, "\r\n") {
		return errors.New("a note is a single line")
	}
	e.Note = strings.TrimSpace(e.Note)
	if back, err := parseLine(e.String()); err != nil || back.Kind == "" {
		return errors.Join(fmt.Errorf("deny %s %q: invalid value for a deny file", e.Kind, e.Value), err)
	}
	return edit(path, true, func(lines []line) ([]line, error) {
		written := line{e.String(), e}
		for i, l := range lines {
			if l.entry.Kind == e.Kind && l.entry.Value == e.Value {
				lines[i] = written
				return lines, nil
			}
		}
		return append(lines, written), nil
	})
}

// Remove deletes an entry from the file at path, atomically like Add.
func Remove(path string, kind Kind, value string) error {
	return edit(path, false, func(lines []line) ([]line, error) {
		for i, l := range lines {
			if l.entry.Kind == kind && l.entry.Value == value {
				return append(lines[:i], lines[i+1:]...), nil
			}
		}
		return nil, fmt.Errorf("remove %s %q from %s: %w", kind, value, path, ErrNoEntry)
	})
}

// edit changes the lines of a file, under its folder's lock.
func edit(path string, create bool, change func([]line) ([]line, error)) error {
	unlock, err := folder.Lock(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("deny file: %w", err)
	}
	defer unlock()
	text, err := readFile(path)
	if err != nil && !(create && errors.Is(err, fs.ErrNotExist)) {
		return err
	}
	lines, err := parseFile(path, text)
	if err != nil {
		return err
	}
	if lines, err = change(lines); err != nil {
		return err
	}
	var out strings.Builder
	now := time.Now()
	for _, l := range lines {
		if !l.entry.Expired(now) {
			out.WriteString(l.text + "\n")
		}
	}
	if err := folder.Replace(path, []byte(out.String())); err != nil {
		return fmt.Errorf("deny file: %w", err)
	}
	return nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("deny file: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("deny file: %w", err)
	}
	if len(text) > maxFileBytes {
		return nil, fmt.Errorf("deny file %s: it is larger than %d MiB; remove expired entries", path, maxFileBytes>>20)
	}
	return text, nil
}
