package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/outcry-mqtt/outcry/bench"
)

// results are the reports of all runs.
type results struct {
	options options
	works   []work
	peers   []*peer // Outcry first
	missing []string
	load    string // of the machine before the first run; "" if unknown
	began   time.Time
	reports map[cell][]*bench.Report
	faults  []string
}

// cell is one work of one peer, by their titles.
type cell struct{ peer, work string }

// comparedWith is the name for Outcry's reports that are compared with one peer only.
func comparedWith(peer string) string { return "Outcry beside " + peer }

func (r *results) add(peer, work string, report *bench.Report) {
	if r.reports == nil {
		r.reports = map[cell][]*bench.Report{}
	}
	at := cell{peer, work}
	r.reports[at] = append(r.reports[at], report)
}

// check records the peer's failures.
func (r *results) check(peer string, w work, round int, report *bench.Report) {
	for _, text := range report.Failures(true) {
		r.fault(peer, w, round, text)
	}
}

func (r *results) fail(p *peer, w work, round int, err error) {
	r.fault(p.title, w, round, strings.ReplaceAll(err.Error(), "\n", "; "))
}

func (r *results) fault(peer string, w work, round int, text string) {
	at := ""
	if r.options.rounds > 1 {
		at = fmt.Sprintf(", round %d", round+1)
	}
	r.faults = append(r.faults, fmt.Sprintf("%s, %s%s: %s", peer, w.title, at, text))
}

// median returns the median of a figure over the rounds; false if there is none.
func (r *results) median(peer string, w work, f figure) (float64, bool) {
	var values []float64
	for _, report := range r.reports[cell{peer, w.title}] {
		if v := f.of(report); v > 0 || f.better != less { // 0 cost means that the work was not done
			values = append(values, v)
		}
	}
	if len(values) == 0 {
		return 0, false
	}
	slices.Sort(values)
	return values[len(values)/2], true
}

// write writes the tables to their destination.
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
	replaced, err := replaceMarked(string(old), r.options.marker, text)
	if err != nil {
		return fmt.Errorf("%s: %w", r.options.write, err)
	}
	return os.WriteFile(r.options.write, []byte(replaced), 0o644)
}

// replaceMarked replaces the text between the markers of a name.
func replaceMarked(old, name, text string) (string, error) {
	begin, end := "<!-- "+name+" -->", "<!-- /"+name+" -->"
	before, rest, begins := strings.Cut(old, begin)
	_, after, ends := strings.Cut(rest, end)
	if !begins || !ends {
		return "", fmt.Errorf("has no %s and %s to write between", begin, end)
	}
	return before + begin + "\n" + text + end + after, nil
}

func (r *results) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nOn %s: %d processors, %s, %s. %d round(s), each work %v after a second of warming up; medians. It took %v.\n",
		time.Now().UTC().Format("2006-01-02"), runtime.NumCPU(), runtime.GOOS+"/"+runtime.GOARCH, runtime.Version(),
		r.options.rounds, r.options.seconds, time.Since(r.began).Round(time.Second))
	if r.load != "" {
		fmt.Fprintf(&b, "Load average before it began: %s (on a machine that is busy with something else, read the ratios only).\n", r.load)
	}
	b.WriteString("In brackets: how many times better Outcry is; below 1 the peer is better.\n\n")
	r.table(&b)
	r.markdownList(&b, "What went wrong", r.faults)
	r.markdownList(&b, "Missing here", r.missing)
	b.WriteString("\nThe commands, with the process and the port of each broker in turn, which is started freshly for each:\n\n```\n")
	for _, w := range r.works {
		fmt.Fprintln(&b, w.command())
	}
	b.WriteString("```\n")
	return b.String()
}

func (r *results) table(b *strings.Builder) {
	b.WriteString("| work | figure |")
	for _, p := range r.peers {
		fmt.Fprintf(b, " %s |", p.title)
	}
	fmt.Fprintf(b, "\n|---|---|%s\n", strings.Repeat("---|", len(r.peers)))
	for _, w := range r.works {
		for i, f := range w.figures {
			title := ""
			if i == 0 {
				title = w.title
			}
			fmt.Fprintf(b, "| %s | %s | %s |\n", title, f.title, strings.Join(r.cells(w, f), " | "))
		}
	}
}

func (r *results) markdownList(b *strings.Builder, title string, lines []string) {
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s:\n\n", title)
	for _, line := range lines {
		fmt.Fprintf(b, "- %s\n", line)
	}
}

// cells formats a figure of all peers.
func (r *results) cells(w work, f figure) (cells []string) {
	for i, p := range r.peers {
		theirs, ok := r.median(p.title, w, f)
		switch {
		case !ok:
			cells = append(cells, "–")
		case w.halfOf != "":
			cells = append(cells, r.halfCell(p.title, w, f, theirs))
		case i == 0:
			cells = append(cells, f.format(theirs))
		default:
			ours, _ := r.median(r.peers[0].title, w, f)
			cells = append(cells, withRatio(f, ours, theirs))
		}
	}
	return cells
}

// halfCell formats a figure at half of the peer's own throughput.
func (r *results) halfCell(peer string, w work, f figure, theirs float64) string {
	at, _ := r.median(peer, w, figure{of: func(p *bench.Report) float64 { return p.Rate }})
	ours, ok := r.median(comparedWith(peer), w, f)
	if peer == r.peers[0].title || !ok {
		return fmt.Sprintf("%s at %s/s", f.format(theirs), rate(at))
	}
	return fmt.Sprintf("%s at %s/s; Outcry %s", withRatio(f, ours, theirs), rate(at), f.format(ours))
}

func withRatio(f figure, ours, theirs float64) string {
	if times := f.ratio(ours, theirs); times != "" {
		return fmt.Sprintf("%s (%s)", f.format(theirs), times)
	}
	return f.format(theirs)
}

// loadAverage returns the machine's load average of the last minute.
func loadAverage() string {
	text, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(text), " ")
	return first
}
