package main

import (
	"time"

	"github.com/outcry-mqtt/outcry/cmd/outcry/config"
	"github.com/outcry-mqtt/outcry/hooks/jwt"
)

// mint makes tokens that a broker with the same configuration accepts.
type mint struct {
	file          string // with the secret or private key; read again for each token
	algorithm, id string // of the key; may be empty
	issuer        string
	audience      []string
	userClaim     string
}

// newMint returns a mint that signs with the configuration's own secret.
func newMint(c *config.Config) *mint {
	j := &c.Auth.JWT
	return &mint{file: secretPath(c), issuer: j.Issuer, audience: j.Audience, userClaim: j.UserClaim}
}

// token mints one. A ttl below 0 is for ever.
func (m *mint) token(user string, rooms []string, claims map[string]any, ttl time.Duration) (string, error) {
	key, err := jwt.ReadSigningKey(m.file, m.algorithm, m.id)
	if err != nil {
		return "", err
	}
	return jwt.Mint(jwt.MintOptions{
		Key: key, User: user, Rooms: rooms, Claims: claims, TTL: ttl,
		Issuer: m.issuer, Audience: m.audience, UserClaim: m.userClaim,
	})
}
