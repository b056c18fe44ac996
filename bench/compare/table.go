package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/outcry-mqtt/outcry/bench"
)

// The part of a file between these is written by this command.
const (
	beginMarker = "<!-- compare -->"
	endMarker   = "<!-- /compare -->"
)

// results are what came of everything.
type results struct {
	options options
	peers   []string // titles, Outcry first
	missing []string
	load    string // of the machine before anything was measured; "" if the system does not tell
	reports map[cell][]*bench.Report
	faults  []string
}

// cell is one work of one peer.
type cell struct{ peer, work string }

func (r *results) add(p *peer, w work, round int, report *bench.Report) {
	if r.reports == nil {
		r.reports = map[cell][]*bench.Report{}
	}
	at := cell{p.title, w.title}
	r.reports[at] = append(r.reports[at], report)
	for _, text := range report.Failures(true) {
		r.fault(p, w, round, text)
	}
}

func (r *results) fail(p *peer, w work, round int, err error) {
	r.fault(p, w, round, strings.ReplaceAll(err.Error(), "\n", "; "))
}

func (r *results) fault(p *peer, w work, round int, text string) {
	r.faults = append(r.faults, fmt.Sprintf("%s, %s, round %d: %s", p.title, w.title, round+1, text))
}

// median is the median of a figure over the rounds; false if there is none.
func (r *results) median(peer string, w work, f figure) (float64, bool) {
	var values []float64
	for _, report := range r.reports[cell{peer, w.title}] {
		if v := f.of(report); v > 0 || !f.less { // what cost nothing was not done
			values = append(values, v)
		}
	}
	if len(values) == 0 {
		return 0, false
	}
	slices.Sort(values)
	return values[len(values)/2], true
}

// write writes the tables to where they belong.
func (r *results) write() error {
	text := r.markdown()
	if r.options.write == "" {
		_, err := fmt.Print(text)
		return err
	}
	old, err := os.ReadFile(r.options.write)
	if err != nil {
		return err
	}
	replaced, err := replaceMarked(string(old), text)
	if err != nil {
		return fmt.Errorf("%s: %w", r.options.write, err)
	}
	return os.WriteFile(r.options.write, []byte(replaced), 0o644)
}

// replaceMarked replaces what stands between the markers.
func replaceMarked(old, text string) (string, error) {
	before, rest, begins := strings.Cut(old, beginMarker)
	_, after, ends := strings.Cut(rest, endMarker)
	if !begins || !ends {
		return "", fmt.Errorf("has no %s and %s to write between", beginMarker, endMarker)
	}
	return before + beginMarker + "\n" + text + endMarker + after, nil
}

func (r *results) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nOn %s: %d processors, %s, %s. %d round(s), each work %v after a second of warming up; medians.\n",
		time.Now().UTC().Format("2006-01-02"), runtime.NumCPU(), runtime.GOOS+"/"+runtime.GOARCH, runtime.Version(),
		r.options.rounds, r.options.seconds)
	if r.load != "" {
		fmt.Fprintf(&b, "Load average before it began: %s (on a machine that is busy with something else, read the ratios only).\n", r.load)
	}
	b.WriteString("In brackets: how many times better Outcry is; below 1 the peer is better. Messages are exchanged in a closed loop, once with much\n" +
		"under way and once with little (the command's default, and what stands in its brackets); each peer gets the better of the two.\n\n")
	fmt.Fprintf(&b, "| work | figure | %s |\n|---|---|%s\n", strings.Join(r.peers, " | "), strings.Repeat("---|", len(r.peers)))
	for _, w := range works(r.options) {
		for i, f := range w.figures {
			title := ""
			if i == 0 {
				title = w.title
			}
			fmt.Fprintf(&b, "| %s | %s | %s |\n", title, f.title, strings.Join(r.cells(w, f), " | "))
		}
	}
	r.list(&b, "What went wrong", r.faults)
	r.list(&b, "Missing here", r.missing)
	b.WriteString("\nThe commands, with the process and the port of each broker in turn, which is started freshly for each:\n\n```\n")
	for _, w := range works(r.options) {
		fmt.Fprintln(&b, w.command)
	}
	b.WriteString("```\n")
	return b.String()
}

func (r *results) list(b *strings.Builder, title string, lines []string) {
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s:\n\n", title)
	for _, line := range lines {
		fmt.Fprintf(b, "- %s\n", line)
	}
}

// cells are a figure of all peers.
func (r *results) cells(w work, f figure) (cells []string) {
	ours, known := r.median(r.peers[0], w, f)
	for i, p := range r.peers {
		theirs, ok := r.median(p, w, f)
		switch {
		case !ok:
			cells = append(cells, "–")
		case i == 0 || !known || ours == 0 || theirs == 0:
			cells = append(cells, f.format(theirs))
		default:
			cells = append(cells, fmt.Sprintf("%s (%s)", f.format(theirs), ratio(ours, theirs, f.less)))
		}
	}
	return cells
}

// loadAverage is the machine's, over the last minute.
func loadAverage() string {
	text, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(text), " ")
	return first
}

// ratio is how many times better ours is.
func ratio(ours, theirs float64, less bool) string {
	if less {
		ours, theirs = theirs, ours
	}
	return short(ours/theirs) + "×"
}

// short writes a number with two digits, or all of those before the point.
func short(x float64) string {
	if x >= 100 {
		return strconv.FormatFloat(x, 'f', 0, 64)
	}
	return strconv.FormatFloat(x, 'g', 2, 64)
}

func rate(x float64) string {
	switch {
	case x >= 1e6:
		return strconv.FormatFloat(x/1e6, 'f', 1, 64) + " M"
	case x >= 1e4:
		return strconv.FormatFloat(x/1e3, 'f', 0, 64) + " k"
	case x >= 1e3:
		return strconv.FormatFloat(x/1e3, 'f', 1, 64) + " k"
	}
	return strconv.FormatFloat(x, 'f', 0, 64)
}

func micros(x float64) string { return short(x) + " µs" }

func mebibytes(x float64) string { return strconv.FormatFloat(x/(1<<20), 'f', 0, 64) + " MiB" }

func bytesEach(x float64) string { return strconv.FormatFloat(x, 'f', 0, 64) }
