package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// chart shows how one quantity depends on another: a picture with logarithmic axes, and a table.
type chart struct {
	File   string   `json:"file"` // of the picture, without its extension
	Title  string   `json:"title"`
	X      string   `json:"x"`
	Y      string   `json:"y"`
	Curves []*curve `json:"curves"`

	note    string   // measured quantity and method
	columns []*curve // in the table only
}

// curve holds points, each with an x of its own.
type curve struct {
	Name   string       `json:"name"`
	Points [][2]float64 `json:"points"`
}

func (c *curve) add(x, y float64) { c.Points = append(c.Points, [2]float64{x, y}) }

// at returns the y at an x; false if there is none.
func (c *curve) at(x float64) (float64, bool) {
	for _, p := range c.Points {
		if p[0] == x {
			return p[1], true
		}
	}
	return 0, false
}

// markdown returns the chart's picture, with a path from the page's folder, and its table.
func (c *chart) markdown(pictures string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "### %s\n\n%s\n\n![%s](%s/%s.svg)\n\n", c.Title, c.note, c.Title, pictures, c.File)
	all := append(append([]*curve(nil), c.Curves...), c.columns...)
	fmt.Fprintf(&b, "| %s |", c.X)
	for _, each := range all {
		fmt.Fprintf(&b, " %s |", each.Name)
	}
	fmt.Fprintf(&b, "\n|%s\n", strings.Repeat("---|", len(all)+1))
	for _, x := range c.xs() {
		fmt.Fprintf(&b, "| %s |", formatNumber(x))
		for _, each := range all {
			text := "–"
			if y, ok := each.at(x); ok {
				text = formatNumber(y)
			}
			fmt.Fprintf(&b, " %s |", text)
		}
		fmt.Fprintln(&b)
	}
	fmt.Fprintln(&b)
	return b.String()
}

// xs returns every x of a curve, in order.
func (c *chart) xs() []float64 {
	seen := map[float64]bool{}
	for _, each := range append(append([]*curve(nil), c.Curves...), c.columns...) {
		for _, p := range each.Points {
			seen[p[0]] = true
		}
	}
	return sortedKeys(seen)
}

// formatNumber formats three digits, or all digits before the point, in groups.
func formatNumber(x float64) string {
	if x < 1000 {
		return strconv.FormatFloat(x, 'g', 3, 64)
	}
	text := strconv.FormatFloat(x, 'f', 0, 64)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// drawAll draws the charts with the program bench/scale/draw, which is a module of its own.
func drawAll(ctx context.Context, charts []*chart, into string) error {
	folder, err := filepath.Abs(into)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	text, err := json.Marshal(charts)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "-C", "bench/scale/draw", "run", ".", "--into", folder)
	cmd.Stdin = bytes.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("draw the charts: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}
