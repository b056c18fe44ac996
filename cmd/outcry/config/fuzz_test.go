package config_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/outcry-mqtt/outcry/cmd/outcry/config"
)

// FuzzLoad checks that Load accepts every file or returns problems.
func FuzzLoad(f *testing.F) {
	addCorpus(f)
	whole, err := os.ReadFile(shipped)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{string(whole), "rules: [{access: allow, claims: {a: b}}]", "a: &x [*x]", "? {a: b}\n: c", "<<: {data: x}", "1: 2", "!!map {}"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		file := filepath.Join(t.TempDir(), "config.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		loaded, err := config.Load(config.Options{File: file})
		if (loaded == nil) != (err != nil) {
			t.Errorf("Load returns %v and %v", loaded, err)
		}
	})
}
