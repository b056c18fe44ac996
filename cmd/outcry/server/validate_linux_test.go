package server

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/cmd/outcry/config"
	"github.com/outcry-mqtt/outcry/cmd/outcry/outcrytest"
)

// settings are possible values of keys in a folder with someFiles; PORT is a free port.
var settings = map[string][]string{
	"data":                                {"./data", "file", "file/below", "new/deep", "link", "nowhere"},
	"listeners.tcp.address":               {"", "127.0.0.1:0", "localhost:0", "127.0.0.1:PORT", "0.0.0.0:PORT", ":PORT", "*:1883", "192.0.2.1:0", "127.0.0.1:x"},
	"listeners.tcp.proxy_protocol":        {"[]", "[127.0.0.1]", "[nobody]"},
	"listeners.ws.address":                {"", "127.0.0.1:0", "localhost:PORT", "127.0.0.1:PORT", "[::]:PORT", "[::1]:0", "two words:0"},
	"listeners.ws.origins":                {"[self]", "['*']", "[example.com]", "['https://example.com']"},
	"listeners.ws.paths":                  {"[/mqtt]", "[]", "[/a, /a]", "['/a?b']"},
	"listeners.unix.address":              {"", "socket", "missing/socket", "file/socket", "file", strings.Repeat("x", 120)},
	"listeners.tls.address":               {"", "127.0.0.1:0"},
	"listeners.tls.certificate.file":      {"", "cert.pem", "missing", "file"},
	"listeners.tls.certificate.key":       {"key.pem", "file"},
	"listeners.tls.certificate.client_ca": {"", "cert.pem", "file"},
	"listeners.tls.certificate.clients":   {"none", "require"},
	"http.address":                        {"", "127.0.0.1:0", "0.0.0.0:0", ":0", "localhost:PORT", "127.0.0.1:PORT", "*:9090"},
	"http.token_file":                     {"", "token", "file", "missing", "empty", "data"},
	"auth.password_file":                  {"", "users", "file", "missing", "empty"},
	"auth.deny_file":                      {"", "empty", "missing", "file"},
	"auth.anonymous":                      {"false", "true"},
	"auth.jwt.secret_file":                {"", "none", "token", "missing", "empty"},
	"auth.jwt.user_claim":                 {"sub", "''"},
	"limits.exempt":                       {"[loopback]", "[nobody]"},
	"limits.server_keepalive":             {"none", "1m", "19h"},
	"durability.max_pending":              {"64MiB", "1B"},
}

// someFiles returns the files of settings, by name.
func someFiles(t *testing.T) (text map[string]string) {
	t.Helper()
	cert, key := selfSigned(t)
	text = map[string]string{"file": "nothing that anything wants\n", "empty": "", "token": strings.Repeat("0123456789abcdef", 4) + "\n"}
	for name, path := range map[string]string{"cert.pem": cert, "key.pem": key} {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text[name] = string(b)
	}
	outcrytest.InFolder(t, nil)
	if status, _, stderr := outcrytest.Call(t, "correct horse\n", "passwd", "users", "alice", "--stdin"); status != 0 {
		t.Fatal(stderr)
	}
	users, err := os.ReadFile("users")
	if err != nil {
		t.Fatal(err)
	}
	text["users"] = string(users)
	return text
}

// inValidFolder creates the files of settings in a new working directory.
func inValidFolder(t *testing.T, text map[string]string) {
	t.Helper()
	outcrytest.InFolder(t, text)
	for name, to := range map[string]string{"link": ".", "nowhere": "missing"} {
		if err := os.Symlink(to, name); err != nil {
			t.Fatal(err)
		}
	}
}

// someSettings chooses values of some keys.
func someSettings(t *testing.T, r *rand.Rand) (sets []config.Set) {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(free.Addr().String())
	free.Close()
	keys := slices.Sorted(func(yield func(string) bool) {
		for key := range settings {
			if !yield(key) {
				return
			}
		}
	})
	n := 1 + r.IntN(4) // few, so that many configurations are valid
	sets = []config.Set{{Path: "listeners.tcp.address", Value: "127.0.0.1:0"}, {Path: "listeners.ws.address", Value: "127.0.0.1:0"}, {Path: "http.address", Value: "127.0.0.1:0"}}
	for _, i := range r.Perm(len(keys))[:n] {
		values := settings[keys[i]]
		sets = append(sets, config.Set{Path: keys[i], Value: strings.ReplaceAll(values[r.IntN(len(values))], "PORT", port)})
	}
	return sets
}

// TestCheckAndServeAgree creates random configurations: the broker can open exactly those that check accepts.
func TestCheckAndServeAgree(t *testing.T) {
	seed, files := rand.Uint64(), someFiles(t)
	r, passed := rand.New(rand.NewPCG(seed, 0)), 0
	const rounds = 80
	for range rounds {
		inValidFolder(t, files)
		o := config.Options{Sets: someSettings(t, r)}
		c, err := config.Load(o)
		if err != nil {
			continue // serve and check load it alike
		}
		checked, opened := validate(c), tryToOpen(o, c)
		if (checked == nil) != (opened == nil) {
			t.Errorf("seed %d: %v:\ncheck says %v\nserve says %v", seed, o.Sets, checked, opened)
		}
		if checked == nil {
			passed++
		}
	}
	t.Logf("seed %d: %d of %d configurations passed", seed, passed, rounds)
	if passed < rounds/10 {
		t.Errorf("seed %d: %d of %d configurations passed", seed, passed, rounds)
	}
}

// tryToOpen returns the error of serve for a loaded configuration, without validate.
func tryToOpen(o config.Options, c *config.Loaded) error {
	out := newOutputs(c, io.Discard, io.Discard)
	s, err := open(&serveFlags{shards: 1}, o, c, out)
	if err == nil {
		s.closeParts()
	}
	return out.end(err)
}

func TestCheckRefusesWhatServeRefuses(t *testing.T) {
	for i, tt := range []struct{ config, want string }{
		{"http: {address: '0.0.0.0:9090'}\n", "config.yaml:1:17: http.address: metrics and profiles would be open to other machines without a token"},
		{"listeners: {tcp: {address: '*:1883'}}\n", `config.yaml:1:28: listeners.tcp.address: "*" is not a host; write an address or a name that this machine has, or :1883 for all interfaces`},
		{"listeners: {tcp: {address: '0.0.0.0:8083'}}\n", "listeners.ws.address: 127.0.0.1:8083 is also the address of listeners.tcp.address"},
		{"listeners: {ws: {address: '192.0.2.1:8083'}}\n", "config.yaml:1:27: listeners.ws.address: no interface of this machine has this address"},
		{"listeners: {unix: {address: missing/socket}}\n", "config.yaml:1:29: listeners.unix.address: its folder does not exist"},
		{"data: config.yaml\n", "config.yaml:1:7: data: config.yaml: not a folder"},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			outcrytest.InFolder(t, map[string]string{"config.yaml": tt.config})
			for _, command := range []string{"check", "serve"} {
				if status, stdout, stderr := outcrytest.Call(t, "", command); status != 1 || stdout != "" || !strings.Contains(stderr, tt.want) {
					t.Errorf("%s: status %d, output %q, error %q, want %q", command, status, stdout, stderr, tt.want)
				}
			}
		})
	}
}
