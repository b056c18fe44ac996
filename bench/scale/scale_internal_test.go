package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/bench"
)

// TestEverythingIsMeasured runs the smallest size of every measurement, in the folder of the module.
func TestEverythingIsMeasured(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program and runs it")
	}
	t.Chdir("../..")
	s := &scale{
		ctx: t.Context(), program: filepath.Join(t.TempDir(), "outcry"), rounds: "1x", seconds: 50 * time.Millisecond,
		size: size{subscribers: []int{3, 30}, memory: "1000", topics: []int{1, 20}, retained: []int{10, 50}, each: "100", filters: "10"},
	}
	if err := build(s.ctx, s.program); err != nil {
		t.Fatal(err)
	}
	charts, err := s.measureAll()
	if errors.Is(err, bench.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if len(s.faults) > 0 {
		t.Errorf("%q", s.faults)
	}
	files := map[string]bool{}
	for _, c := range charts {
		if files[c.File] {
			t.Errorf("two charts for %s", c.File)
		}
		files[c.File] = true
		for _, each := range c.Curves {
			if len(each.Points) == 0 {
				t.Errorf("%s: %s has no points", c.File, each.Name)
			}
			for _, p := range each.Points {
				if p[0] <= 0 || p[1] < 0 {
					t.Errorf("%s: %s has %v", c.File, each.Name, p)
				}
			}
		}
	}
	if len(files) != 8 {
		t.Errorf("%d charts: %v", len(files), files)
	}
}

const benchmarks = `goos: linux
BenchmarkMemory/tcp/clients=1000-2   	       3	   1529426 ns/op	       116.7 cpu-ns/delivery	      1101 heapB/conn
BenchmarkMemory/tcp/clients=10000-2  	       3	   1163092 ns/op	       105.3 cpu-ns/delivery	       947.8 heapB/conn
BenchmarkOther/clients=5-2           	       3	   1 ns/op
PASS
`

func TestBenchmarksAreRead(t *testing.T) {
	c := parseBenchmarks([]byte(benchmarks)).curve("memory", "Memory/tcp/clients=", "cpu-ns/delivery", 2)
	if len(c.Points) != 2 || c.Points[0] != [2]float64{1000, 233.4} || c.Points[1] != [2]float64{10_000, 210.6} {
		t.Errorf("%v", c.Points)
	}
}

func TestTable(t *testing.T) {
	c := chart{
		File: "f", Title: "T", X: "x", note: "Note.",
		Curves:  []*curve{{"a", [][2]float64{{1, 2.5}, {1_000_000, 1234.6}}}},
		columns: []*curve{{"b", [][2]float64{{30, 0.12345}}}},
	}
	const want = "### T\n\nNote.\n\n![T](charts/f.svg)\n\n| x | a | b |\n|---|---|---|\n" +
		"| 1 | 2.5 | – |\n| 30 | – | 0.123 |\n| 1,000,000 | 1,235 | – |\n\n"
	if got := c.markdown("charts"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestOnlyWhatIsMarkedIsReplaced(t *testing.T) {
	file := filepath.Join(t.TempDir(), "page.md")
	for _, tt := range []struct {
		name, old, want string
		fails           bool
	}{
		{"again", "a\n" + beginMarker + "old" + endMarker + "b", "a\n" + beginMarker + "\nnew\n" + endMarker + "b", false},
		{"no marker", "a", "a", true},
		{"wrong order", endMarker + beginMarker, endMarker + beginMarker, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := os.WriteFile(file, []byte(tt.old), 0o600); err != nil {
				t.Fatal(err)
			}
			err := replaceIn(file, "new\n")
			got, _ := os.ReadFile(file)
			if string(got) != tt.want || (err != nil) != tt.fails {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

func TestTheMarkersStandInThePage(t *testing.T) {
	text, err := os.ReadFile("../../docs/scale.md")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(text), beginMarker) != 1 || strings.Count(string(text), endMarker) != 1 {
		t.Error("docs/scale.md has no marked part, or several")
	}
}
