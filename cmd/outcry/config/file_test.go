package config_test

import (
	"bufio"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/cmd/outcry/config"
)

const shipped = "../../../config.yaml"

func TestShippedFileHasTheDefaults(t *testing.T) {
	got, err := config.Load(config.Options{File: shipped})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Warnings) > 0 {
		t.Errorf("warnings: %v", got.Warnings)
	}
	if diff := config.Changed(config.Default(), got.Config); len(diff) > 0 {
		t.Errorf("config.yaml differs from the defaults in %v", diff)
	}
}

func TestShippedFileHasEveryKeyWithAComment(t *testing.T) {
	got, err := config.Load(config.Options{File: shipped})
	if err != nil {
		t.Fatal(err)
	}
	lines := readLines(t, shipped)
	for _, path := range config.Paths() {
		if path == "rules" || path == "rooms" {
			continue // the other test compares them, and their keys have comments
		}
		at := got.Where(path)
		line := ""
		if at.Line > 0 {
			line = lines[at.Line-1]
		}
		key := path[strings.LastIndex(path, ".")+1:]
		if !strings.HasPrefix(strings.TrimSpace(line), key+": ") {
			t.Errorf("%s is missing in config.yaml", path)
		} else if strings.Count(line, " # ") != 1 {
			t.Errorf("%v: %s has no comment of its own: %s", at, path, line)
		}
	}
}

// The pages' examples are accepted configurations.
func TestExamplesOfPages(t *testing.T) {
	for page, want := range map[string]int{
		"docs/identity-providers.md": 2,
		"docs/tls.md":                5,
		"docs/connect-device.md":     1,
		"hooks/rules/README.md":      1,
	} {
		t.Run(page, func(t *testing.T) {
			text := strings.Join(readLines(t, "../../../"+page), "\n")
			blocks := strings.Split(text, "```yaml\n")[1:]
			for _, block := range blocks {
				example, _, _ := strings.Cut(block, "```")
				got, err := load(t, example, config.Options{})
				if err != nil || len(got.Warnings) > 0 {
					t.Errorf("%v, or warnings, of\n%s", err, example)
				}
			}
			if len(blocks) != want {
				t.Errorf("%d blocks were found, want %d", len(blocks), want)
			}
		})
	}
}

func readLines(t *testing.T, file string) (lines []string) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		lines = append(lines, s.Text())
	}
	return lines
}

// config.yaml marks the limits that SIGHUP re-reads. They are exactly the live ones.
func TestFileMarksLiveLimits(t *testing.T) {
	text, err := os.ReadFile(shipped)
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\nlimits:")
	section, _, _ = strings.Cut(section, "\n\n")
	marked := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^  (\w+): [^#]*# (\* )?`).FindAllStringSubmatch(section, -1) {
		marked["limits."+m[1]] = m[2] != ""
	}
	next := config.Default()
	v := reflect.ValueOf(&next.Limits).Elem()
	for i := range v.NumField() {
		if f := v.Field(i); f.CanInt() {
			f.SetInt(7)
		} else if f.CanFloat() {
			f.SetFloat(7)
		}
	}
	next.Limits.Exempt, next.Limits.Overflow = nil, "disconnect"
	taken := config.Default()
	taken.Limits.TakeLive(&next.Limits)
	changed := config.Changed(config.Default(), taken)
	for path, mark := range marked {
		if got := slices.Contains(changed, path); got != mark || config.IsLiveLimit(path) != mark {
			t.Errorf("%s: marked %v, taken over %v", path, mark, got)
		}
	}
	if len(marked) != v.NumField() {
		t.Errorf("%d limits were found in config.yaml, want %d", len(marked), v.NumField())
	}
}
