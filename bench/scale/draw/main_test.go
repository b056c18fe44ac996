package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDraw(t *testing.T) {
	file := filepath.Join(t.TempDir(), "one.svg")
	c := chart{Title: "A title", X: "across", Y: "up", Curves: []curve{
		{"first", [][2]float64{{1, 3}, {1000, 3.5}}}, {"second", [][2]float64{{10, 0.001}, {1e6, 4e9}, {5, 0}}}, {"none", nil},
	}}
	if err := c.draw(file); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for d := xml.NewDecoder(strings.NewReader(string(text))); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"A title", "across", "first", "second", ">1 M<", ">1 G<"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q in the picture", want)
		}
	}
}

func TestShort(t *testing.T) {
	for x, want := range map[float64]string{0.05: "0.05", 1: "1", 500: "500", 1000: "1 k", 2e6: "2 M", 1e9: "1 G"} {
		if got := short(x); got != want {
			t.Errorf("short(%v) = %q, want %q", x, got, want)
		}
	}
}
