package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/outcry-mqtt/outcry/devices"
	"golang.org/x/term"
)

// watch runs the fleet and shows its progress: each second on a terminal, else every ten.
func (f *simulateFlags) watch(ctx context.Context, fleet devices.Fleet, out io.Writer) error {
	p := &progress{out: out, fleet: fleet, start: time.Now(), every: 10 * time.Second}
	if file, ok := out.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		p.live, p.every = true, time.Second
	}
	ended := make(chan error, 1)
	go func() { ended <- fleet.Run(ctx) }()
	tick := time.NewTicker(p.every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			p.show()
		case err := <-ended:
			p.summary()
			var refused *devices.Refusal
			if cause := context.Cause(ctx); errors.As(cause, &refused) {
				return cause
			}
			return err
		}
	}
}

// progress shows a fleet's counters.
type progress struct {
	out   io.Writer
	fleet devices.Fleet
	start time.Time
	every time.Duration
	live  bool // each line overwrites the last

	last uint64 // Published at the last line
}

func (p *progress) show() {
	s := p.fleet.Stats()
	rate := float64(s.Published-p.last) / p.every.Seconds()
	p.last = s.Published
	line := fmt.Sprintf("%d of %d connected, %.0f messages/s, %d sent", s.Connected, s.Devices, rate, s.Published)
	line += p.trouble(s)
	if p.live {
		fmt.Fprintf(p.out, "\r\x1b[K%s", line)
		return
	}
	fmt.Fprintln(p.out, line)
}

func (p *progress) trouble(s devices.Stats) (text string) {
	if s.Received > 0 {
		text += fmt.Sprintf(", %d received", s.Received)
	}
	if s.Missed > 0 {
		text += fmt.Sprintf(", %d missed while not connected", s.Missed)
	}
	if s.Errors > 0 {
		text += fmt.Sprintf(", %d errors", s.Errors)
	}
	return text
}

func (p *progress) summary() {
	s := p.fleet.Stats()
	if p.live {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
	took := time.Since(p.start)
	fmt.Fprintf(p.out, "%d messages in %v (%.0f/s), %d connections%s\n",
		s.Published, took.Round(time.Second/10), float64(s.Published)/took.Seconds(), s.Connects, p.trouble(s))
}
