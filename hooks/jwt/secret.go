package jwt

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/outcry-mqtt/outcry/hooks/internal/folder"
)

const secretMode fs.FileMode = 0o600

const (
	secretBytes = 32 // random bytes of a new secret
	leastSecret = 32 // minimum of HS256, which needs the fewest
)

// LoadOrCreateSecret returns the secret in the file at path. It creates a missing file, readable by its owner only.
// The secret is the file's bytes without final line ends. A file that others can read, or a secret that is too short,
// is an error.
func LoadOrCreateSecret(path string) (secret []byte, created bool, err error) {
	secret, err = readSecret(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return secret, false, err
	}
	secret, err = createSecret(path)
	if errors.Is(err, fs.ErrExist) { // another process was faster
		secret, err = readSecret(path)
		return secret, false, err
	}
	if err != nil {
		return nil, false, fmt.Errorf("create secret file %s: %w", path, err)
	}
	return secret, true, nil
}

func readSecret(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("secret file %s: %w", path, cause(err))
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("secret file %s: is not a regular file", path)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("secret file %s: other users have access to it (mode %04o); run chmod 600 %s",
			path, info.Mode().Perm(), path)
	}
	text, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("secret file %s: %w", path, err)
	}
	secret := bytes.TrimRight(text, "\r\n")
	if len(secret) < leastSecret {
		return nil, fmt.Errorf("secret file %s: has %d bytes, and a secret needs at least %d; write a longer one, "+
			"or delete the file to have a new one made", path, len(secret), leastSecret)
	}
	return secret, nil
}

// createSecret writes a new secret. It removes the file if the write fails.
func createSecret(path string) (secret []byte, err error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, secretMode)
	if err != nil {
		return nil, cause(err)
	}
	defer func() {
		if err != nil {
			os.Remove(path)
		}
	}()
	random := make([]byte, secretBytes)
	rand.Read(random) // never fails
	secret = base64.RawURLEncoding.AppendEncode(nil, random)
	_, err = file.Write(append(bytes.Clone(secret), '\n'))
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, err
	}
	return secret, folder.Sync(filepath.Dir(path))
}
