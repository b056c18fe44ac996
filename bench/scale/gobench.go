package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// result is a line of a Go benchmark: its values by unit.
type result map[string]float64

// results are those of a run, by the benchmarks' names without the number of processors.
type results map[string]result

// benchmark runs Go benchmarks of a package, with that -benchtime.
func benchmark(ctx context.Context, pkg, pattern, benchtime string) (results, error) {
	fmt.Fprintf(os.Stderr, "%s: %s\n", pkg, pattern)
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", pattern, "-benchtime", benchtime, "-timeout", "10m", pkg)
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("benchmark %s of %s: %w: %s", pattern, pkg, err, bytes.TrimSpace(out))
	}
	return parseBenchmarks(out), nil
}

// parseBenchmarks parses the output of go test -bench.
func parseBenchmarks(text []byte) results {
	all := results{}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		one := result{}
		for i := 2; i+1 < len(fields); i += 2 {
			if v, err := strconv.ParseFloat(fields[i], 64); err == nil {
				one[fields[i+1]] = v
			}
		}
		name := strings.TrimPrefix(fields[0], "Benchmark")
		if i := strings.LastIndexByte(name, '-'); i > 0 {
			name = name[:i]
		}
		all[name] = one
	}
	return all
}

// curve returns a unit of the benchmarks whose names begin with prefix and end with a number, times scale.
func (r results) curve(name, prefix, unit string, scale float64) *curve {
	c := &curve{Name: name}
	found := map[float64]float64{}
	for each, figures := range r {
		rest, ok := strings.CutPrefix(each, prefix)
		x, err := strconv.ParseFloat(rest, 64)
		if y, has := figures[unit]; ok && err == nil && has {
			found[x] = y
		}
	}
	for _, x := range sortedKeys(found) {
		c.add(x, found[x]*scale)
	}
	return c
}
