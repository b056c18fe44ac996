package access

import (
	"path/filepath"

	"github.com/outcry-mqtt/outcry/cmd/outcry/config"
)

// SecretPath returns the file of the signing secret, or "" if the configuration has none.
func SecretPath(c *config.Config) string {
	switch c.Auth.JWT.SecretFile {
	case config.SecretNone:
		return ""
	case "":
		return filepath.Join(c.Data, "secret")
	}
	return c.Auth.JWT.SecretFile
}
