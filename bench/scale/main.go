// Command scale measures how the cost of Outcry's operations grows with their number, and draws a chart of each.
//
//	go run ./bench/scale --write docs/scale.md
//
// It starts brokers in processes of their own and loads them over sockets, and runs the engine's Go benchmarks for
// numbers beyond a machine's sockets. Run it in the folder of the module.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	write := flag.String("write", "", "Markdown file with the markers "+beginMarker+" and "+endMarker+" to write the tables into; charts go into the folder charts beside it")
	short := flag.Bool("quick", false, "less of everything: under a minute instead of some")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *write, *short); err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, write string, short bool) error {
	folder, err := os.MkdirTemp("", "scale-program-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	s := &scale{ctx: ctx, program: filepath.Join(folder, "outcry"), size: full, rounds: "10x", seconds: 2 * time.Second, warmup: time.Second}
	if short {
		s.size, s.rounds, s.seconds, s.warmup = quick, "2x", 300*time.Millisecond, 200*time.Millisecond
	}
	if err := build(ctx, s.program); err != nil {
		return err
	}
	load, began := loadAverage(), time.Now()
	charts, err := s.measureAll()
	if err != nil {
		return err
	}
	text := head(load, time.Since(began), short)
	for _, c := range charts {
		text += c.markdown("charts")
	}
	for _, fault := range s.faults {
		text += "What went wrong: " + fault + ".\n\n"
	}
	if write == "" {
		_, err := fmt.Print(text)
		return err
	}
	if err := drawAll(ctx, charts, filepath.Join(filepath.Dir(write), "charts")); err != nil {
		return err
	}
	return replaceIn(write, text)
}

// head returns the page's introduction: machine and date.
func head(load string, took time.Duration, short bool) string {
	text := fmt.Sprintf("\nOn %s: %d processors, %s/%s, %s; it took %v.", time.Now().UTC().Format("2006-01-02"), runtime.NumCPU(),
		runtime.GOOS, runtime.GOARCH, runtime.Version(), took.Round(time.Second))
	if load != "" {
		text += fmt.Sprintf(" Load average before it began: %s.", load)
	}
	if short {
		text += " This was a quick run."
	}
	return text + "\n\n"
}

// loadAverage returns the machine's load average of the last minute; "" if unknown.
func loadAverage() string {
	text, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(text), " ")
	return first
}

// Markers of the generated part of the page.
const (
	beginMarker = "<!-- scale -->"
	endMarker   = "<!-- /scale -->"
)

func replaceIn(file, text string) error {
	old, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, begins := strings.Cut(string(old), beginMarker)
	_, after, ends := strings.Cut(rest, endMarker)
	if !begins || !ends {
		return fmt.Errorf("%s has no %s and %s to write between", file, beginMarker, endMarker)
	}
	return os.WriteFile(file, []byte(before+beginMarker+"\n"+text+endMarker+after), 0o644)
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
