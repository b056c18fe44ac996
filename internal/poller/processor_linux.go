package poller

import (
	"time"

	"golang.org/x/sys/unix"
)

// ProcessorTime returns the processor time used by the program since its start; 0 if it cannot be read.
func ProcessorTime() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}
