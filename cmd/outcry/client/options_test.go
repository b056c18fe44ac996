package client

import (
	"strings"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/cmd/outcry/outcrytest"
	"github.com/spf13/pflag"
)

// parse returns the options of a client command's flags.
func parse(t *testing.T, args ...string) (*Options, error) {
	t.Helper()
	f := &Flags{}
	fs := pflag.NewFlagSet("client", pflag.ContinueOnError)
	f.Register(fs)
	f.RegisterWill(fs)
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	return f.Options()
}

func TestBrokerURLs(t *testing.T) {
	tests := []struct{ name, args, want string }{
		{"default", "", "mqtt://127.0.0.1:1883"},
		{"host and port", "-h broker -p 1884", "mqtt://broker:1884"},
		{"IPv6", "-h ::1", "mqtt://[::1]:1883"},
		{"TLS", "-h broker --insecure", "mqtts://broker:8883"},
		{"TLS and port", "-h broker -p 1 --insecure", "mqtts://broker:1"},
		{"URL", "--url ws://broker:8083", "ws://broker:8083/mqtt"},
		{"unix", "--url unix:///run/o.sock", "unix:///run/o.sock"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o, err := parse(t, strings.Fields(tt.args)...)
			if err != nil {
				t.Fatal(err)
			}
			if o.URL.String() != tt.want {
				t.Errorf("%s, want %s", o.URL, tt.want)
			}
		})
	}
}

func TestCredentials(t *testing.T) {
	token := outcrytest.Token(t, "ada", time.Hour)
	file := outcrytest.File(t, token+"\n")
	tests := []struct {
		name, env      string
		args           []string
		user, password string
	}{
		{name: "none"},
		{name: "flags", args: []string{"-u", "u", "-P", "p"}, user: "u", password: "p"},
		{name: "user alone", args: []string{"-u", "u"}, user: "u"},
		{name: "token's subject", args: []string{"-P", token}, user: "ada", password: token},
		{name: "another user with a token", args: []string{"-P", token, "-u", "bela"}, user: "bela", password: token},
		{name: "password without a user", args: []string{"-P", "p"}, user: "token", password: "p"},
		{name: "file", args: []string{"--token-file", file}, user: "ada", password: token},
		{name: "environment", env: token, user: "ada", password: token},
		{name: "flag before environment", env: token, args: []string{"-u", "u", "-P", "p"}, user: "u", password: "p"},
		{name: "URL", args: []string{"--url", "mqtt://u:p@h"}, user: "u", password: "p"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv(TokenEnv, tt.env)
			o, err := parse(t, tt.args...)
			if err != nil {
				t.Fatal(err)
			}
			if o.User != tt.user || string(o.Password) != tt.password {
				t.Errorf("user %q, password %q; want %q, %q", o.User, o.Password, tt.user, tt.password)
			}
		})
	}
}

func TestTokenTrouble(t *testing.T) {
	token := outcrytest.Token(t, "a", 0)
	tests := []struct {
		name, token string
		after       time.Duration // to the token's expiry
		want        string
	}{
		{"none", "", 0, ""},
		{"a password", "hunter2", 0, ""},
		{"valid", token, -time.Minute, ""},
		{"seconds", token, 5*time.Second + 1, "the token expired 5s ago"},
		{"minutes", token, 3 * time.Minute, "the token expired 3m ago"},
		{"hours", token, 30 * time.Hour, "the token expired 30h ago"},
		{"days", token, 72 * time.Hour, "the token expired 3 days ago"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			expiry := TokenClaims(token).ExpiresAt.Time
			if got := tokenProblem(tt.token, expiry.Add(tt.after)); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}
