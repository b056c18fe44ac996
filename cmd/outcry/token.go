package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/outcry-mqtt/outcry/cmd/outcry/config"
	"github.com/spf13/cobra"
)

// tokenFlags are the flags of outcry token.
type tokenFlags struct {
	configFlags
	secretFile string
	mintFlags
}

// mintFlags are those for a new token only.
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
(EdDSA), in a PEM file as openssl writes them.

Issuer, audience and the claim for the user are those of the configuration.`

const tokenExample = `  outcry token --user alice --rooms lobby,traders
  outcry token --user sensor-7 --ttl 90d --claim site=berlin --claim 'tags=["a","b"]'
  mosquitto_sub -u alice -P "$(outcry token --user alice)" -t 'ticker/#' -v
  outcry token --user ops --claim admin=true --secret-file /var/lib/outcry/secret
  outcry token --user app --key private.pem --alg PS256 --kid key-1
  outcry token inspect "$TOKEN"`

func newTokenCommand() *cobra.Command {
	f := &tokenFlags{mintFlags: mintFlags{ttl: ttl(time.Hour)}}
	cmd := &cobra.Command{
		Use:     "token --user NAME",
		Short:   "Mint a token, or inspect one",
		Long:    tokenLong,
		Example: tokenExample,
		Args:    noSuchCommand,
		RunE:    func(cmd *cobra.Command, _ []string) error { return f.mint(cmd) },
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVar(&f.user, "user", "", "the user that it is for")
	fs.StringSliceVar(&f.rooms, "rooms", nil, "rooms that it opens: the claim rooms")
	fs.StringArrayVar(&f.claims, "claim", nil, "claim NAME=VALUE, where VALUE may be JSON; may be repeated")
	fs.Var(&f.ttl, "ttl", "how long it is valid, such as 15m, 1h or 30d; none: for ever")
	fs.StringVar(&f.keyFile, "key", "", "file with the private key (PEM) or the secret that signs (default: --secret-file)")
	fs.StringVar(&f.algorithm, "alg", "", "algorithm (default: HS256 for a secret, RS256 for RSA, else the key's only one)")
	fs.StringVar(&f.keyID, "kid", "", "id of the key: the header kid")
	fs.StringVar(&f.issuer, "issuer", "", "the claim iss (default: auth.jwt.issuer)")
	fs.StringSliceVar(&f.audience, "audience", nil, "the claim aud (default: auth.jwt.audience)")
	f.registerKey(cmd)
	cmd.AddCommand(newInspectCommand())
	return cmd
}

// registerKey registers what says which key it is about.
func (f *tokenFlags) registerKey(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.secretFile, "secret-file", "", "file with the secret (default: secret in the data folder)")
	f.configFlags.register(cmd)
}

func (f *tokenFlags) mint(cmd *cobra.Command) error {
	if f.user == "" {
		return fmt.Errorf("say who the token is for, with --user NAME\nsee %s --help", cmd.CommandPath())
	}
	c, err := f.load()
	if err != nil {
		return err
	}
	if secretPath(&c.Config) == "" && f.keyFile == "" {
		return errors.New("the configuration has no secret; give the key that signs with --key")
	}
	claims, err := parseClaims(f.claims)
	if err != nil {
		return err
	}
	token, err := f.newMint(c).token(f.user, f.rooms, claims, f.ttl.duration())
	if err != nil {
		return f.explainSecret(err)
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), token)
	return err
}

// load loads the configuration, with the secret of the flags in it.
func (f *tokenFlags) load() (*config.Loaded, error) {
	o, err := f.options()
	if err != nil {
		return nil, err
	}
	if f.secretFile != "" {
		o.Sets = append(o.Sets, config.Set{Source: "--secret-file", Path: "auth.jwt.secret_file", Value: f.secretFile})
	}
	return config.Load(o)
}

func (f *tokenFlags) newMint(c *config.Loaded) *mint {
	m := newMint(&c.Config)
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
		return fmt.Errorf("%w; the broker makes it at its first start; say where it is with --secret-file", err)
	}
	return err
}

// parseClaims reads NAME=VALUE of flags. A value that is JSON is taken as that, any other as text. No flags: nil.
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

// ttl is a time with days, or none: for ever.
type ttl time.Duration

const forEver ttl = -1

// String returns it as it is written in a flag.
func (t *ttl) String() string {
	if *t == forEver {
		return "none"
	}
	return config.FormatDuration(time.Duration(*t))
}

// Set reads it.
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

// Type names it in a help text.
func (t *ttl) Type() string { return "time" }

func (t *ttl) duration() time.Duration { return time.Duration(*t) }
