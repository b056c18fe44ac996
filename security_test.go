package outcry_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	folderAndTests = regexp.MustCompile("`([a-z0-9/]+)` ((?:(?:Test|Fuzz)[A-Za-z0-9]+(?:, )?)+)")
	testFunction   = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Za-z0-9]+)\(`)
)

// Every line of the table of docs/security.md names tests, and they exist where it says.
func TestSecurityTableNamesTests(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("docs", "security.md"))
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]map[string]bool{}
	rows := 0
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.TrimSpace(line), " | ")
		if len(cells) != 3 || strings.HasPrefix(line, "| threat") {
			continue
		}
		rows++
		found := folderAndTests.FindAllStringSubmatch(cells[2], -1)
		if len(found) == 0 {
			t.Errorf("no test is named in %s", line)
		}
		for _, m := range found {
			folder := m[1]
			if tests[folder] == nil {
				tests[folder] = testsOf(t, folder)
			}
			for name := range strings.SplitSeq(m[2], ", ") {
				if !tests[folder][name] {
					t.Errorf("%s has no %s", folder, name)
				}
			}
		}
	}
	if rows < 20 {
		t.Errorf("%d rows were found", rows)
	}
}

// testsOf are the names of a package's tests.
func testsOf(t *testing.T, folder string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range testFunction.FindAllStringSubmatch(string(text), -1) {
			names[m[1]] = true
		}
	}
	return names
}
