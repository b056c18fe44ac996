package outcrytest

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	gojwt "github.com/golang-jwt/jwt/v5"
	"github.com/outcry-mqtt/outcry/hooks/jwt"
)

// InFolder creates files in a new working directory.
func InFolder(t *testing.T, files map[string]string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, text := range files {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// Token returns a token of a user, signed with a secret that no broker has.
func Token(t *testing.T, user string, expires time.Duration) string {
	t.Helper()
	claims := gojwt.RegisteredClaims{Subject: user, ExpiresAt: gojwt.NewNumericDate(time.Now().Add(expires))}
	token, err := gojwt.NewWithClaims(gojwt.SigningMethodHS256, claims).SignedString([]byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// File writes content to a new file and returns its path.
func File(t *testing.T, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// WriteConfig writes config.yaml in folder dir.
func WriteConfig(t *testing.T, dir, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// HangUp sends SIGHUP and waits for a line of the log with all of words.
func (p *Process) HangUp(words ...string) {
	p.T.Helper()
	after := p.Stderr.After()
	p.Signal(syscall.SIGHUP)
	p.WaitFor(p.Stderr, after, words...)
}

// NewSecret creates ./data/secret in a new working directory.
func NewSecret(t *testing.T) {
	t.Helper()
	t.Chdir(t.TempDir())
	if err := os.Mkdir("data", 0o700); err != nil {
		t.Fatal(err)
	}
	if _, _, err := jwt.LoadOrCreateSecret(filepath.Join("data", "secret")); err != nil {
		t.Fatal(err)
	}
}

// MintToken runs outcry token.
func MintToken(t *testing.T, args ...string) string {
	t.Helper()
	status, token, stderr := Call(t, "", append([]string{"token"}, args...)...)
	if status != 0 {
		t.Fatalf("token %q: status %d: %s", args, status, stderr)
	}
	return strings.TrimSpace(token)
}

// AliceMaySpeak are rules that let alice publish and subscribe below news, and nobody anything else.
const AliceMaySpeak = "rules:\n  - {access: allow, who: ['user:alice'], topics: [news/#]}\n"

// Pipe returns both ends of a pipe, which are closed at the end of the test.
func Pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}
