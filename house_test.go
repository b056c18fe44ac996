package outcry_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
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
	if len(found["broker"]) == 0 || len(found["cmd/outcry/server"]) == 0 {
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
	case inside(folder, program) && inside(inner, program):
		return forbiddenInProgram(folder, inner)
	case inside(folder, "internal") && inner != folder && !inside(inner, "internal"):
		return "the parts below the engine know nothing of it"
	case inside(folder, "broker") && !inside(inner, "broker", "internal"):
		return "the engine knows nothing of what is around it"
	case inside(folder, "broker/storage") && inner != "broker/topic":
		return "records know nothing of the engine"
	case inside(inner, "internal") && inside(folder, "hooks", "listeners", "devices", "web"):
		return "the parts below the engine are the engine's"
	case inside(folder, "devices") && !inside(inner, "devices"):
		return "devices are clients, and know nothing of the broker"
	case inside(folder, "bench") && inside(inner, "broker", "internal", "listeners", "hooks", "web") && inner != "internal/poller":
		return "the bench is a client, and knows nothing of the broker but how it waits for sockets"
	case inside(inner, "bench") && !inside(folder, "bench", "cmd"):
		return "only the program runs the bench"
	case inside(folder, "broker/guard", "broker/histogram", "broker/topic") && !inside(inner, "internal"):
		return "the parts of the engine know nothing of it"
	case inside(folder, "hooks") && inside(inner, "hooks") && !inside(inner, "hooks/internal") && hookOf(folder) != hookOf(inner):
		return "hooks don't know each other"
	case inside(folder, "hooks/boltstore") && inner == "broker":
		return "a store knows operations and records, and not the engine"
	case inside(folder, "hooks") && inside(inner, "listeners", "devices", "web"):
		return "hooks know the broker only"
	case inside(folder, "listeners") && inside(inner, "hooks", "devices", "web"):
		return "listeners know the broker only"
	case inside(folder, "web") && !inside(inner, "web"):
		return "the pages know nothing of the broker"
	}
	return ""
}

const program = "cmd/outcry"

// below are the packages of the program that each of them may import.
var below = map[string][]string{
	"cmd/outcry":            {"program"},
	"cmd/outcry/program":    {"server", "store", "access", "messages", "load", "command"},
	"cmd/outcry/server":     {"store", "access", "lines", "command", "config"},
	"cmd/outcry/store":      {"command", "config"},
	"cmd/outcry/access":     {"client", "command", "config"},
	"cmd/outcry/messages":   {"client", "command"},
	"cmd/outcry/load":       {"client", "command"},
	"cmd/outcry/client":     {},
	"cmd/outcry/command":    {"config"},
	"cmd/outcry/config":     {},
	"cmd/outcry/lines":      {},
	"cmd/outcry/outcrytest": {},
}

// forbiddenInProgram is forbidden for two packages of the program.
func forbiddenInProgram(folder, inner string) string {
	allowed, known := below[folder]
	switch {
	case !known:
		return "house_test.go does not say what this package of the program may import"
	case !slices.Contains(allowed, strings.TrimPrefix(inner, program+"/")):
		return "in the program imports go from commands down to what they share"
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
		{"cmd/outcry", module + "cmd/outcry/program", true},
		{"cmd/outcry", module + "cmd/outcry/server", false},
		{"cmd/outcry/server", module + "cmd/outcry/store", true},
		{"cmd/outcry/store", module + "cmd/outcry/server", false},
		{"cmd/outcry/client", module + "cmd/outcry/messages", false},
		{"cmd/outcry/messages", module + "cmd/outcry/client", true},
		{"cmd/outcry/server", module + "cmd/outcry/outcrytest", false},
		{"cmd/outcry/another", module + "cmd/outcry/client", false},
		{"cmd/outcry/config", "github.com/goccy/go-yaml/ast", true},
		{"broker", "github.com/goccy/go-yaml", false},
		{"broker", module + "internal/wire", true},
		{"broker", module + "internal/wheel", true},
		{"internal/websocket", module + "internal/wheel", true},
		{"listeners", module + "internal/websocket", false},
		{"listeners", module + "bench", false},
		{"broker/guard", module + "broker", false},
		{"broker/topic", module + "broker/storage", false},
		{"broker", module + "broker/storage", true},
		{"internal/wire", module + "broker/topic", false},
		{"internal/poller", module + "internal/table", true},
		{"listeners", module + "internal/poller", false},
		{"broker/storage", module + "broker/topic", true},
		{"broker/storage", module + "broker", false},
		{"internal/wire", module + "hooks/jwt", false},
		{"broker", module + "listeners", false},
		{"devices", module + "broker", false},
		{"devices", "github.com/eclipse/paho.golang/paho", true},
		{"hooks/rules", module + "broker", true},
		{"hooks/rules", module + "hooks/jwt", false},
		{"hooks/boltstore", module + "broker", false},
		{"hooks/boltstore", module + "broker/storage", true},
		{"hooks/jwt/jwks", module + "hooks/jwt", true},
		{"listeners", module + "broker", true},
		{"bench", module + "cmd/outcry/config", false},
		{"bench", module + "internal/poller", true},
		{"bench", module + "internal/wire", false},
		{"bench/compare", module + "bench", true},
	} {
		if reason := forbidden(tt.folder, tt.imported); (reason == "") != tt.allowed {
			t.Errorf("%s imports %s: allowed %v (%s)", tt.folder, tt.imported, !tt.allowed, reason)
		}
	}
}

// manyFields is how many fields a struct of the engine has at most: one with more should be components, each with its own methods.
const manyFields = 25

// flat is the structs that may have more fields, and why.
var flat = map[string]string{
	"Limits":     "a list of settings, each with its documentation",
	"Stats":      "a list of figures, each with its documentation",
	"shardStats": "the counters behind Stats",
}

func TestStructsAreSmall(t *testing.T) {
	files, err := filepath.Glob("broker/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	seen := map[string]int{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			if st, ok := spec.Type.(*ast.StructType); ok {
				for _, field := range st.Fields.List {
					seen[spec.Name.Name] += max(1, len(field.Names))
				}
			}
			return true
		})
	}
	for name, n := range seen {
		if n > manyFields && flat[name] == "" {
			t.Errorf("%s has %d fields, at most %d", name, n, manyFields)
		}
	}
	for name := range flat {
		if seen[name] <= manyFields {
			t.Errorf("%s is an exception, and has %d fields", name, seen[name])
		}
	}
}
