package program

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The tests of this file compare the names in the documentation with the program: metrics, flags, keys of
// config.yaml, files and folders.

// repository is the module's root.
const repository = "../../.."

// walk calls fn with each file of the repository whose name ends in suffix, and its text.
func walk(t *testing.T, suffix string, fn func(name, text string)) {
	t.Helper()
	err := filepath.WalkDir(repository, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "node_modules" || entry.Name() == "testdata" || entry.Name() == ".git"):
			return fs.SkipDir
		case entry.IsDir() || !strings.HasSuffix(name, suffix):
			return nil
		}
		text, err := os.ReadFile(name)
		if err == nil {
			fn(name, string(text))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// source returns the Go code of the module without tests.
func source(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	walk(t, ".go", func(name, text string) {
		if !strings.HasSuffix(name, "_test.go") {
			all.WriteString(text)
		}
	})
	return all.String()
}

// found returns the first group of each match as a set.
func found(pattern, text string) map[string]bool {
	set := map[string]bool{}
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		set[m[1]] = true
	}
	return set
}

// quoted returns the texts between backquotes, and the lines of code blocks.
func quoted(text string) []string {
	var all []string
	inBlock := false
	for line := range strings.Lines(text) {
		switch line = strings.TrimSpace(line); {
		case strings.HasPrefix(line, "```"):
			inBlock = !inBlock
		case inBlock:
			all = append(all, line)
		default:
			all = append(all, slices.Sorted(maps.Keys(found("`([^`]+)`", line)))...)
		}
	}
	return all
}

func TestDocsNameMetricsThatExist(t *testing.T) {
	known := found(`"(outcry_[a-z0-9_]+)"`, source(t))
	if len(known) < 50 {
		t.Fatalf("only %d metrics were found in the source", len(known))
	}
	exists := func(name string) bool {
		if strings.HasSuffix(name, "_") { // outcry_store_*
			return slices.ContainsFunc(slices.Collect(maps.Keys(known)), func(k string) bool { return strings.HasPrefix(k, name) })
		}
		for _, suffix := range []string{"", "_bucket", "_count", "_sum"} {
			if base, ok := strings.CutSuffix(name, suffix); ok && known[base] {
				return true
			}
		}
		return false
	}
	walk(t, ".md", func(file, text string) {
		for name := range found(`\b(outcry_[a-z0-9_]+)`, text) {
			if !exists(name) {
				t.Errorf("%s names %s, which is no metric", file, name)
			}
		}
	})
}

func TestDocsNameKeysThatExist(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(repository, "config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var tree map[string]any
	if err := yaml.Unmarshal(text, &tree); err != nil {
		t.Fatal(err)
	}
	isKey := func(path string) bool {
		at := any(tree)
		for part := range strings.SplitSeq(path, ".") {
			section, ok := at.(map[string]any)
			if !ok {
				return at == nil || len(path) > 0 && isOpen(at) // entries of lists and maps have keys of their own
			}
			if at, ok = section[part]; !ok {
				return false
			}
		}
		return true
	}
	tops := strings.Join(slices.Sorted(maps.Keys(tree)), "|")
	key := regexp.MustCompile(`^(?:` + tops + `)(?:\.[a-z_0-9]+)+`)
	n := 0
	walk(t, ".md", func(file, text string) {
		for _, q := range quoted(text) {
			for word := range strings.FieldsFuncSeq(q, func(r rune) bool { return strings.ContainsRune(" \t=:,;()[]'\"", r) }) {
				m := key.FindString(word)
				if m == "" || m != word || isFile(word) {
					continue
				}
				if n++; !isKey(m) {
					t.Errorf("%s names the key %s, which config.yaml does not have", file, m)
				}
			}
		}
	})
	if n < 30 {
		t.Errorf("only %d keys were found in the documentation", n)
	}
}

// isOpen reports whether a value of config.yaml is a list, whose entries are not in it.
func isOpen(v any) bool {
	_, isList := v.([]any)
	return isList
}

var fileName = regexp.MustCompile(`\.(go|md|yaml|json|mjs|js|c|py|pem|key|db|txt|html)$`)

func isFile(word string) bool { return fileName.MatchString(word) }

// commands returns every command of the program by its path, such as "store backup".
func commands(c *cobra.Command, at string, all map[string]*cobra.Command) map[string]*cobra.Command {
	all[at] = c
	for _, sub := range c.Commands() {
		commands(sub, strings.TrimSpace(at+" "+sub.Name()), all)
	}
	return all
}

// lines returns each line, and its command substitutions as lines of their own.
func lines(all []string) []string {
	inner := regexp.MustCompile(`\$\(([^()]*)\)`)
	for i := 0; i < len(all); i++ {
		for _, m := range inner.FindAllStringSubmatch(all[i], -1) {
			all = append(all, m[1])
		}
		all[i] = inner.ReplaceAllString(all[i], "")
	}
	return all
}

func TestDocsNameFlagsThatExist(t *testing.T) {
	all := commands(newRootCommand(), "", map[string]*cobra.Command{})
	anywhere := found(`(?:\bflag|Flags\(\)|\bf|\bflags|\bfs)\.[A-Z]\w*\((?:&?[\w.]+, )?"([a-z][a-z0-9-]*)"`, source(t))
	for _, c := range all {
		c.InitDefaultHelpFlag()
		c.Flags().VisitAll(func(f *pflag.Flag) { anywhere[f.Name] = true })
	}
	n := 0
	walk(t, ".md", func(file, text string) {
		for _, q := range lines(quoted(text)) {
			words := strings.Fields(q)
			i := slices.IndexFunc(words, func(w string) bool { return w == "outcry" || strings.HasSuffix(w, "/outcry") })
			if i < 0 {
				continue
			}
			command, c := "", all[""]
			for _, w := range words[i+1:] {
				if w == "|" || w == "&&" || w == "&" || w == "#" || w == ";" {
					break
				}
				if sub := all[strings.TrimSpace(command+" "+w)]; sub != nil {
					command, c = strings.TrimSpace(command+" "+w), sub
					continue
				}
				name, isFlag := strings.CutPrefix(w, "--")
				name, _, _ = strings.Cut(name, "=")
				if !isFlag || name == "" {
					continue
				}
				c.InitDefaultVersionFlag()
				if n++; c.Flags().Lookup(name) == nil && c.InheritedFlags().Lookup(name) == nil {
					t.Errorf("%s gives \"outcry %s\" the flag --%s, which it does not have", file, command, name)
				}
			}
		}
		for name := range found("`--([a-z][a-z0-9-]*)", text) {
			if !anywhere[name] {
				t.Errorf("%s names the flag --%s, which nothing here has", file, name)
			}
		}
	})
	if n < 30 {
		t.Errorf("only %d flags were found in the documentation", n)
	}
}

func TestDocsNameFilesThatExist(t *testing.T) {
	folders := `(?:cmd|broker|hooks|listeners|devices|bench|web|tests|docs|\.ci|internal)`
	path := regexp.MustCompile(`^` + folders + `/[\w./-]*$|^[\w./-]+\.(?:go|md|mjs)$`)
	bases := map[string]bool{}
	walk(t, "", func(file, _ string) { bases[filepath.Base(file)] = true })
	n := 0
	walk(t, ".md", func(file, text string) {
		var names []string
		for q := range found("`([^`\\s]+)`", text) {
			if path.MatchString(q) {
				names = append(names, q)
			}
		}
		for link := range found(`\]\(([^)#:\s]+)(?:#[^)]*)?\)`, text) {
			names = append(names, link)
		}
		for _, name := range names {
			n++
			name = strings.TrimSuffix(name, "/")
			_, fromRoot := os.Stat(filepath.Join(repository, name))
			_, fromHere := os.Stat(filepath.Join(filepath.Dir(file), name))
			if fromRoot != nil && fromHere != nil && (strings.Contains(name, "/") || !bases[name]) {
				t.Errorf("%s names %s, which does not exist", file, name)
			}
		}
	})
	if n < 100 {
		t.Errorf("only %d files were found in the documentation", n)
	}
}
