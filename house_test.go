package outcry_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/outcry-mqtt/outcry/"

// imports are the imports of the module's packages, tests left out, by the packages' folders.
func imports(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return skip(name)
		}
		if strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") {
			folder := filepath.ToSlash(filepath.Dir(name))
			all[folder] = append(all[folder], importsOf(t, name)...)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func skip(folder string) error {
	base := filepath.Base(folder)
	if base == "node_modules" || base == "testdata" || base != "." && strings.HasPrefix(base, ".") {
		return fs.SkipDir
	}
	return nil
}

func importsOf(t *testing.T, name string) (paths []string) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, imported)
	}
	return paths
}

// inside reports whether a folder is one of the rooms, or in one of them.
func inside(folder string, rooms ...string) bool {
	for _, room := range rooms {
		if folder == room || strings.HasPrefix(folder, room+"/") {
			return true
		}
	}
	return false
}

// Imports point one way: see ARCHITECTURE.md.
func TestImportsPointOneWay(t *testing.T) {
	found := imports(t)
	if len(found["broker"]) == 0 || len(found["cmd/outcry"]) == 0 {
		t.Fatalf("the broker and the program are not where they were: %v", found)
	}
	for folder, paths := range found {
		for _, imported := range paths {
			if reason := forbidden(folder, imported); reason != "" {
				t.Errorf("%s imports %s: %s", folder, imported, reason)
			}
		}
	}
}

// forbidden says why a package must not import another; "" if it may.
func forbidden(folder, imported string) string {
	inner, ours := strings.CutPrefix(imported, module)
	switch {
	case strings.Contains(imported, "go-yaml") && !inside(folder, "cmd") && folder != ".":
		return "only the program knows YAML"
	case !ours:
		return ""
	case inside(inner, "cmd") && !inside(folder, "cmd"):
		return "nothing is built on the program"
	case inside(folder, "broker") && !inside(inner, "broker"):
		return "the engine knows nothing of what is around it"
	case inside(folder, "devices") && !inside(inner, "devices"):
		return "devices are clients, and know nothing of the broker"
	case inside(folder, "bench") && inside(inner, "broker", "listeners", "hooks", "web") && inner != "broker/poller":
		return "the bench is a client, and knows nothing of the broker but how it waits for sockets"
	case inside(folder, "hooks") && inside(inner, "hooks") && !inside(inner, "hooks/internal") && hookOf(folder) != hookOf(inner):
		return "hooks don't know each other"
	case inside(folder, "hooks") && inside(inner, "listeners", "devices", "web"):
		return "hooks know the broker only"
	case inside(folder, "listeners") && inside(inner, "hooks", "devices", "web"):
		return "listeners know the broker only"
	case inside(folder, "web") && !inside(inner, "web"):
		return "the pages know nothing of the broker"
	}
	return ""
}

// hookOf is the hook that a folder belongs to.
func hookOf(folder string) string {
	parts := strings.SplitN(folder, "/", 3)
	return path.Join(parts[:min(2, len(parts))]...)
}

func TestWhatIsForbidden(t *testing.T) {
	for _, tt := range []struct {
		folder, imported string
		allowed          bool
	}{
		{"cmd/outcry", module + "hooks/jwt", true},
		{"cmd/outcry/config", "github.com/goccy/go-yaml/ast", true},
		{"broker", "github.com/goccy/go-yaml", false},
		{"broker", module + "broker/wire", true},
		{"broker/wire", module + "hooks/jwt", false},
		{"broker", module + "listeners", false},
		{"devices", module + "broker", false},
		{"devices", "github.com/eclipse/paho.golang/paho", true},
		{"hooks/rules", module + "broker", true},
		{"hooks/rules", module + "hooks/jwt", false},
		{"hooks/jwt/jwks", module + "hooks/jwt", true},
		{"listeners", module + "broker", true},
		{"bench", module + "cmd/outcry/config", false},
		{"bench", module + "broker/poller", true},
		{"bench", module + "broker/wire", false},
		{"bench/compare", module + "bench", true},
	} {
		if reason := forbidden(tt.folder, tt.imported); (reason == "") != tt.allowed {
			t.Errorf("%s imports %s: allowed %v (%s)", tt.folder, tt.imported, !tt.allowed, reason)
		}
	}
}
