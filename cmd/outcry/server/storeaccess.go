package server

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/outcry-mqtt/outcry/cmd/outcry/store"
)

// writeAccess writes the file by which outcry store finds this broker.
func (s *server) writeAccess() error {
	if s.ops == nil {
		return nil
	}
	a := store.Access{Address: reachable(s.ops.Addr().String()), Key: s.service.Key}
	c := &s.config.HTTP
	if len(c.Hosts) > 0 && c.Hosts[0] != "loopback" {
		a.Host = c.Hosts[0]
	}
	if c.TokenFile != "" {
		path, err := filepath.Abs(c.TokenFile)
		if err != nil {
			return err
		}
		a.TokenFile = path
	}
	text, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(s.accessPath(), append(text, '\n'), 0o600)
}

// removeAccess removes that file while the store is still locked, so that it is no other broker's.
func (s *server) removeAccess() {
	if err := os.Remove(s.accessPath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Warn("cannot remove file", "error", err)
	}
}

func (s *server) accessPath() string { return filepath.Join(s.config.Data, store.AccessFile) }
