package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	// accessFile in the data folder says where the broker that has the folder open answers to outcry store, and with
	// what key. Whoever may read it may read the store itself.
	accessFile = "outcry.run"
	// keyHeader shows the key. A page of the web cannot send it to us, as it can the rest of a request.
	keyHeader = "Outcry-Key"
)

// storeAccess is what accessFile has in it.
type storeAccess struct {
	Address   string `json:"address"`
	Host      string `json:"host,omitempty"`       // a name that requests must be for
	Key       string `json:"key"`                  // another one at each start
	TokenFile string `json:"token_file,omitempty"` // what it has must be shown as well
}

// writeAccess lets outcry store find this broker.
func (s *server) writeAccess() error {
	if s.ops == nil {
		return nil
	}
	a := storeAccess{Address: reachable(s.ops.Addr().String()), Key: s.service.key}
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

// removeAccess is called while the store is still locked, so that it is no other broker's file.
func (s *server) removeAccess() {
	if err := os.Remove(s.accessPath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Warn("file not removed", "error", err)
	}
}

func (s *server) accessPath() string { return filepath.Join(s.config.Data, accessFile) }

// readAccess finds the broker that has the store in a folder open.
func readAccess(folder string) (*storeAccess, error) {
	path := filepath.Join(folder, accessFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s, in which a broker says where it can be asked, is not there; "+
			"wait until the broker is ready, set http.address if it has none, or stop what uses the store", path)
	}
	if err != nil {
		return nil, err
	}
	a := &storeAccess{}
	if err := json.Unmarshal(text, a); err != nil {
		return nil, fmt.Errorf("%s: %w; the next start of the broker writes it anew", path, err)
	}
	return a, nil
}
