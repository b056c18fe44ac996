package jwks

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"runtime"

	"github.com/outcry-mqtt/outcry/hooks/jwt"
)

// File is a jwt.KeySource: a key set in a file. It accepts secrets (kty oct) if only the file's owner can read it.
type File struct {
	Path   string
	Logger *slog.Logger // logs omitted keys; nil: no log
}

// Keys reads the file.
func (f File) Keys() ([]jwt.Key, error) {
	set, err := ReadFile(f.Path)
	if err != nil {
		return nil, err
	}
	if f.Logger != nil {
		for _, l := range set.LeftOut {
			f.Logger.Warn("key of a key set ignored", "file", f.Path, "key", l.String())
		}
	}
	return set.Keys, nil
}

// ReadFile reads a key set from a file.
func ReadFile(path string) (Set, error) {
	text, private, err := readFile(path)
	var set Set
	if err == nil {
		set, err = Parse(text, "key set "+path, private)
	}
	if err != nil {
		return Set{}, fmt.Errorf("key set %s: %w", path, err)
	}
	return set, nil
}

// readFile also reports whether only the owner can read the file.
func readFile(path string) (text []byte, private bool, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, false, cause(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, false, cause(err)
	}
	text, err = io.ReadAll(io.LimitReader(file, MaxBytes+1)) // Parse refuses longer ones
	return text, runtime.GOOS == "windows" || info.Mode().Perm()&0o077 == 0, cause(err)
}

// cause returns a file's error without the path.
func cause(err error) error {
	if of, ok := errors.AsType[*fs.PathError](err); ok {
		return of.Err
	}
	return err
}
