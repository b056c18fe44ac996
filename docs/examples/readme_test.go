// Package examples holds programs that the documentation shows. Its test holds the documentation to them.
package examples

import (
	"os"
	"strings"
	"testing"
)

// TestReadmeShowsTheDevice holds the README's lines of Go to the program that they are taken from, which is compiled.
func TestReadmeShowsTheDevice(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile("device/main.go")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(readme), "<!-- device -->\n```go\n")
	if !ok {
		t.Fatal("the README does not show the device")
	}
	snippet, _, _ := strings.Cut(rest, "```")
	if want := "\t" + strings.ReplaceAll(strings.TrimSuffix(snippet, "\n"), "\n", "\n\t") + "\n"; !strings.Contains(string(program), want) {
		t.Errorf("device/main.go does not contain what the README shows:\n%s", want)
	}
	if strings.Count(string(readme), "```go") != 1 {
		t.Error("the README has Go that no test compiles")
	}
}

// TestReadmeShowsTheBrowser holds the README's lines of JavaScript to those that the tests of the page run.
func TestReadmeShowsTheBrowser(t *testing.T) {
	t.Parallel()
	var blocks [2]string
	for i, file := range []string{"../../README.md", "../connect-browser.md"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, rest, ok := strings.Cut(string(text), "```js\n")
		if !ok {
			t.Fatalf("%s shows no JavaScript", file)
		}
		blocks[i], _, _ = strings.Cut(rest, "```")
	}
	if blocks[0] != blocks[1] {
		t.Error("the README and connect-browser.md differ in what they show")
	}
}
