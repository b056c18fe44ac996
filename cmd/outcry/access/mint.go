package access

import (
	"time"

	"github.com/outcry-mqtt/outcry/cmd/outcry/config"
	"github.com/outcry-mqtt/outcry/hooks/jwt"
)

// Minter signs tokens for a broker with the same configuration.
type Minter struct {
	file          string // with the secret or private key; read for each token
	algorithm, id string // of the key; may be empty
	issuer        string
	audience      []string
	userClaim     string
}

// NewMinter returns a Minter that signs with the configuration's own secret.
func NewMinter(c *config.Config) *Minter {
	j := &c.Auth.JWT
	return &Minter{file: SecretPath(c), issuer: j.Issuer, audience: j.Audience, userClaim: j.UserClaim}
}

// Token returns a new token. A negative ttl means no expiry.
func (m *Minter) Token(user string, rooms []string, claims map[string]any, ttl time.Duration) (string, error) {
	key, err := jwt.ReadSigningKey(m.file, m.algorithm, m.id)
	if err != nil {
		return "", err
	}
	return jwt.Mint(jwt.MintOptions{
		Key: key, User: user, Rooms: rooms, Claims: claims, TTL: ttl,
		Issuer: m.issuer, Audience: m.audience, UserClaim: m.userClaim,
	})
}
