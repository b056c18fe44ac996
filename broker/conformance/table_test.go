package conformance_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	root  = "../.."
	table = root + "/docs/conformance.md"
)

// TestTable checks docs/conformance.md against the list of statements, and against the files and tests that it names.
func TestTable(t *testing.T) {
	doc, err := os.ReadFile(table)
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"5.0", "3.1.1"} {
		t.Run(version, func(t *testing.T) {
			_, section, found := strings.Cut(string(doc), "\n## MQTT "+version+"\n")
			if !found {
				t.Fatalf("no section for MQTT %s", version)
			}
			section, _, _ = strings.Cut(section, "\n## ")
			checkStatements(t, section, statements(t, version))
		})
	}
	checkNames(t, string(doc))
}

// statements returns the numbers of a version's statements, with the party that each binds.
func statements(t *testing.T, version string) map[string]string {
	t.Helper()
	text, err := os.ReadFile("testdata/statements-" + version + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if number, binds, found := strings.Cut(strings.TrimSpace(line), " "); found && number != "#" {
			all[number] = binds
		}
	}
	return all
}

var (
	row        = regexp.MustCompile(`(?m)^\| (\d[\d.]*-\d+) \|`)
	clientOnly = regexp.MustCompile(`(?m)^These bind clients only: ([^|]*?)\.$`) // over several lines
)

func checkStatements(t *testing.T, section string, all map[string]string) {
	t.Helper()
	listed := map[string]string{}
	note := func(number, binds string) {
		switch {
		case listed[number] != "":
			t.Errorf("MQTT-%s is listed twice", number)
		case all[number] == "":
			t.Errorf("there is no MQTT-%s", number)
		case all[number] != binds:
			t.Errorf("MQTT-%s binds a %s, it is listed as if it bound a %s", number, all[number], binds)
		}
		listed[number] = binds
	}
	for _, m := range row.FindAllStringSubmatch(section, -1) {
		note(m[1], "server")
	}
	for _, m := range clientOnly.FindAllStringSubmatch(section, -1) {
		for _, number := range strings.Fields(strings.ReplaceAll(m[1], ",", " ")) {
			note(number, "client")
		}
	}
	for number := range all {
		if listed[number] == "" {
			t.Errorf("MQTT-%s is missing", number)
		}
	}
}

var (
	quoted   = regexp.MustCompile("`([^`]+)`")
	testName = regexp.MustCompile(`^(?:([a-z/]+)\.)?(Test\w+)(?:/(.+))?$`)
)

// checkNames checks every name of a file or test in backquotes. Every row must name a test.
func checkNames(t *testing.T, doc string) {
	t.Helper()
	for line := range strings.Lines(doc) {
		tests := 0
		for _, m := range quoted.FindAllStringSubmatch(line, -1) {
			name := m[1]
			if n := testName.FindStringSubmatch(name); n != nil {
				tests++
				checkTest(t, n[1], n[2], n[3])
			} else if strings.HasSuffix(name, ".go") {
				if _, err := os.Stat(filepath.Join(root, name)); err != nil {
					t.Errorf("no file %s", name)
				}
			}
		}
		if tests == 0 && row.MatchString(line) {
			t.Errorf("no test in the row %s", line)
		}
	}
}

func checkTest(t *testing.T, folder, function, sub string) {
	t.Helper()
	if folder == "" {
		folder = "broker/conformance"
	}
	names, found := testsOf(t, filepath.Join(root, folder))[function]
	if !found {
		t.Errorf("no test %s in %s", function, folder)
	} else if sub != "" && !slices.Contains(names, sub) {
		t.Errorf("no subtest %q of %s", sub, function)
	}
}

var parsed = map[string]map[string][]string{}

// testsOf returns the tests of a folder, with the names of their subtests as far as they are literals.
func testsOf(t *testing.T, folder string) map[string][]string {
	t.Helper()
	if all, done := parsed[folder]; done {
		return all
	}
	files, err := filepath.Glob(folder + "/*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if fn, is := d.(*ast.FuncDecl); is && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Test") {
				all[fn.Name.Name] = subtests(fn)
			}
		}
	}
	parsed[folder] = all
	return all
}

// subtests returns the names that a test's body gives to subtests: the first argument of Run, the first field of a
// row, or the key of one.
func subtests(fn *ast.FuncDecl) (names []string) {
	ast.Inspect(fn, func(n ast.Node) bool {
		var first ast.Expr
		switch n := n.(type) {
		case *ast.CallExpr:
			if f, is := n.Fun.(*ast.SelectorExpr); is && f.Sel.Name == "Run" && len(n.Args) > 0 {
				first = n.Args[0]
			}
		case *ast.KeyValueExpr:
			first = n.Key
		case *ast.CompositeLit:
			if len(n.Elts) > 0 {
				first = n.Elts[0]
			}
		}
		if lit, is := first.(*ast.BasicLit); is && lit.Kind == token.STRING {
			name, _ := strconv.Unquote(lit.Value)
			names = append(names, name)
		}
		return true
	})
	return names
}
