package jwt_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/outcry-mqtt/outcry/hooks/jwt"
)

func base64URL(b []byte) string { return base64.URLEncoding.EncodeToString(b) }

func TestSecretIsMadeOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	first, created, err := jwt.LoadOrCreateSecret(path)
	if err != nil || !created {
		t.Fatalf("created %v, %v", created, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if random, err := base64.RawURLEncoding.DecodeString(string(first)); err != nil || len(random) != 32 {
		t.Errorf("the secret is %d bytes of base64url, %v", len(random), err)
	}
	again, created, err := jwt.LoadOrCreateSecret(path)
	if err != nil || created || !bytes.Equal(first, again) {
		t.Errorf("the second time: created %v, the same %v, %v", created, bytes.Equal(first, again), err)
	}
	other, _, err := jwt.LoadOrCreateSecret(filepath.Join(t.TempDir(), "secret"))
	if err != nil || bytes.Equal(first, other) {
		t.Errorf("another file has the same secret, %v", err)
	}
}

// Of several concurrent starts one creates the file; the others read it, or find it incomplete.
func TestSecretIsMadeByOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	var mu sync.Mutex
	var makers sync.WaitGroup
	made := 0
	for range 8 {
		makers.Go(func() {
			_, created, err := jwt.LoadOrCreateSecret(path)
			if err != nil && !strings.Contains(err.Error(), "a secret needs at least 32") {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if created {
				made++
			}
		})
	}
	makers.Wait()
	if made != 1 {
		t.Errorf("made by %d", made)
	}
}

func TestUnsafeSecrets(t *testing.T) {
	long := []byte(strings.Repeat("s", 32) + "\r\n")
	cases := []struct {
		name string
		path string
		want string // empty: accepted
	}{
		{"with a line end", write(t, long, 0o600), ""},
		{"read-only", write(t, long, 0o400), ""},
		{"for the group", write(t, long, 0o640), "other users have access to it (mode 0640); run chmod 600 "},
		{"for all", write(t, long, 0o604), "(mode 0604); run chmod 600 "},
		{"writable for all", write(t, long, 0o602), "(mode 0602); run chmod 600 "},
		{"short", write(t, long[:31], 0o600), "has 31 bytes, and a secret needs at least 32; write a longer one, or delete the file"},
		{"short but for line ends", write(t, append(long[:31:31], "\n\n\n"...), 0o600), "has 31 bytes"},
		{"empty", write(t, nil, 0o600), "has 0 bytes"},
		{"a folder", t.TempDir(), "is not a regular file"},
		{"in no folder", filepath.Join(t.TempDir(), "no", "secret"), "create secret file"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			secret, created, err := jwt.LoadOrCreateSecret(c.path)
			if c.want == "" {
				if err != nil || created || string(secret) != strings.Repeat("s", 32) {
					t.Errorf("got %q, %v, %v", secret, created, err)
				}
				return
			}
			if secret != nil || err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.path) {
				t.Errorf("got %v\nwant %s", err, c.want)
			}
		})
	}
	if _, _, err := jwt.LoadOrCreateSecret(filepath.Join(t.TempDir(), "no", "secret")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}
