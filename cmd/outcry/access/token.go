package access

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/outcry-mqtt/outcry/cmd/outcry/command"
	"github.com/outcry-mqtt/outcry/cmd/outcry/config"
	"github.com/outcry-mqtt/outcry/hooks/jwt"
	"github.com/spf13/cobra"
)

// tokenFlags are the flags of outcry token.
type tokenFlags struct {
	command.ConfigFlags
	secretFile string
	mintFlags
}

// mintFlags are the flags for a new token.
type mintFlags struct {
	user      string
	rooms     []string
	claims    []string
	ttl       ttl
	keyFile   string
	algorithm string
	keyID     string
	issuer    string
	audience  []string
}

const tokenLong = `Mint a token (JWT) that the broker accepts as a password, signed with its secret, or
with a private key: RSA (RS256, PS256, …), ECDSA (ES256, ES384, ES512) or Ed25519
(EdDSA), in a PEM file as openssl writes it.

Issuer, audience and the claim for the user come from the configuration.`

const tokenExample = `  outcry token --user alice --rooms lobby,traders
  outcry token --user sensor-7 --ttl 90d --claim site=berlin --claim 'tags=["a","b"]'
  mosquitto_sub -u alice -P "$(outcry token --user alice)" -t 'ticker/#' -v
  outcry token --user ops --claim admin=true --secret-file /var/lib/outcry/secret
  outcry token --user app --key private.pem --alg PS256 --kid key-1
  outcry token inspect "$TOKEN"`

// NewTokenCommand returns the command outcry token.
func NewTokenCommand() *cobra.Command {
	f := &tokenFlags{mintFlags: mintFlags{ttl: ttl(time.Hour)}}
	cmd := &cobra.Command{
		Use:     "token --user NAME",
		Short:   "Mint a token, or inspect one",
		Long:    tokenLong,
		Example: tokenExample,
		Args:    command.NoSuch,
		RunE:    func(cmd *cobra.Command, _ []string) error { return f.mint(cmd) },
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVar(&f.user, "user", "", "user of the token")
	fs.StringSliceVar(&f.rooms, "rooms", nil, "rooms of the user: the claim rooms")
	fs.StringArrayVar(&f.claims, "claim", nil, "claim NAME=VALUE, where VALUE may be JSON; may be repeated")
	fs.Var(&f.ttl, "ttl", "lifetime, such as 15m, 1h or 30d; none: it never expires")
	fs.StringVar(&f.keyFile, "key", "", "file with the signing key (PEM) or secret (default: --secret-file)")
	fs.StringVar(&f.algorithm, "alg", "", "algorithm (default: HS256 for a secret, RS256 for RSA, else the only one for the key)")
	fs.StringVar(&f.keyID, "kid", "", "key id: the header kid")
	fs.StringVar(&f.issuer, "issuer", "", "the claim iss (default: auth.jwt.issuer)")
	fs.StringSliceVar(&f.audience, "audience", nil, "the claim aud (default: auth.jwt.audience)")
	f.registerKey(cmd)
	cmd.AddCommand(newInspectCommand())
	return cmd
}

// registerKey registers the flags that select a key.
func (f *tokenFlags) registerKey(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.secretFile, "secret-file", "", "file with the secret (default: secret in the data folder)")
	f.ConfigFlags.Register(cmd)
}

func (f *tokenFlags) mint(cmd *cobra.Command) error {
	if f.user == "" {
		return fmt.Errorf("give the user of the token with --user NAME\nsee %s --help", cmd.CommandPath())
	}
	c, err := f.load()
	if err != nil {
		return err
	}
	if SecretPath(&c.Config) == "" && f.keyFile == "" {
		return errors.New("the configuration has no secret; give the key that signs with --key")
	}
	claims, err := parseClaims(f.claims)
	if err != nil {
		return err
	}
	token, err := f.newMint(c).Token(f.user, f.rooms, claims, f.ttl.duration())
	if err != nil {
		return f.explainSecret(err)
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), token)
	return err
}

// load loads the configuration, with the secret of the flags.
func (f *tokenFlags) load() (*config.Loaded, error) {
	o, err := f.Options()
	if err != nil {
		return nil, err
	}
	if f.secretFile != "" {
		o.Sets = append(o.Sets, config.Set{Source: "--secret-file", Path: "auth.jwt.secret_file", Value: f.secretFile})
	}
	return config.Load(o)
}

func (f *tokenFlags) newMint(c *config.Loaded) *Minter {
	m := NewMinter(&c.Config)
	m.algorithm, m.id = f.algorithm, f.keyID
	if f.keyFile != "" {
		m.file = f.keyFile
	}
	if f.issuer != "" {
		m.issuer = f.issuer
	}
	if f.audience != nil {
		m.audience = f.audience
	}
	return m
}

func (f *tokenFlags) explainSecret(err error) error {
	if f.keyFile == "" && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, os.ErrPermission)) {
		return fmt.Errorf("%w; the broker makes it at its first start; name it with --secret-file", err)
	}
	return err
}

// parseClaims parses NAME=VALUE flags. A value is JSON if it parses as such, else text. Without flags it returns nil.
func parseClaims(flags []string) (map[string]any, error) {
	var claims map[string]any
	for _, text := range flags {
		name, value, found := strings.Cut(text, "=")
		if !found || name == "" {
			return nil, fmt.Errorf("--claim %s: want NAME=VALUE", text)
		}
		var parsed any
		if json.Unmarshal([]byte(value), &parsed) != nil {
			parsed = value
		}
		if claims == nil {
			claims = map[string]any{}
		}
		claims[name] = parsed
	}
	return claims, nil
}

// ttl is a duration with days, or forEver.
type ttl time.Duration

const forEver ttl = -1

// String formats the value like its flag.
func (t *ttl) String() string {
	if *t == forEver {
		return "none"
	}
	return config.FormatDuration(time.Duration(*t))
}

// Set parses the flag.
func (t *ttl) Set(text string) error {
	if text == "none" {
		*t = forEver
		return nil
	}
	d, err := config.ParseDuration(text)
	if err != nil || d <= 0 {
		return errors.New("want a time such as 15m, 1h or 30d, or none")
	}
	*t = ttl(d)
	return nil
}

// Type names the value in a help text.
func (t *ttl) Type() string { return "time" }

func (t *ttl) duration() time.Duration { return time.Duration(*t) }

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
