package main

import (
	"path/filepath"

	"github.com/outcry-mqtt/outcry/cmd/outcry/config"
)

// secretPath is the file with the signing secret, or "" if the configuration wants none.
func secretPath(c *config.Config) string {
	switch c.Auth.JWT.SecretFile {
	case config.SecretNone:
		return ""
	case "":
		return filepath.Join(c.Data, "secret")
	}
	return c.Auth.JWT.SecretFile
}
