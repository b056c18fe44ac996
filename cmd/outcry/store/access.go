package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	// AccessFile in the data folder holds the address of the running broker for outcry store, and the key. Everybody
	// who may read it may read the store itself.
	AccessFile = "outcry.run"
	// keyHeader carries the key. A web page cannot send this header to us, unlike the rest of a request.
	keyHeader = "Outcry-Key"
)

// Access is the content of AccessFile.
type Access struct {
	Address   string `json:"address"`
	Host      string `json:"host,omitempty"`       // Host header that requests need
	Key       string `json:"key"`                  // random at each start
	TokenFile string `json:"token_file,omitempty"` // its content is required as well
}

// readAccess reads the AccessFile of a data folder.
func readAccess(folder string) (*Access, error) {
	path := filepath.Join(folder, AccessFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s does not exist, so the broker's address is unknown; "+
			"wait until the broker is ready, set its http.address if it has none, or stop the program that uses the store", path)
	}
	if err != nil {
		return nil, err
	}
	a := &Access{}
	if err := json.Unmarshal(text, a); err != nil {
		return nil, fmt.Errorf("%s: %w; restart the broker to write it again", path, err)
	}
	for _, text := range []string{a.Address, a.Host, a.Key, a.TokenFile} {
		if text != printable(text) || strings.Contains(text, "\n") {
			return nil, fmt.Errorf("%s has control characters; restart the broker to write it again", path)
		}
	}
	return a, nil
}

// File is the broker's store in the data folder.
const File = "outcry.db"
