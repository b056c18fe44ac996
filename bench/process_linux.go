package bench

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime returns the processor time used by all threads of a process. pid 0 is this process.
func cpuTime(pid int) (time.Duration, error) {
	clock := int32(unix.CLOCK_PROCESS_CPUTIME_ID)
	if pid != 0 {
		clock = int32(^pid<<3 | 2) // as by clock_getcpuclockid
	}
	var t unix.Timespec
	if err := unix.ClockGettime(clock, &t); err != nil {
		return 0, fmt.Errorf("processor time of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}

// resident returns a process's resident memory in bytes, as exact as the kernel reports it.
func resident(pid int) (uint64, error) {
	folder := "/proc/" + strconv.Itoa(pid)
	for _, source := range []struct{ file, key string }{{"/smaps_rollup", "\nRss:"}, {"/status", "\nVmRSS:"}} {
		text, err := os.ReadFile(folder + source.file)
		if err != nil {
			continue
		}
		if kib, ok := field(text, source.key); ok {
			return kib << 10, nil
		}
	}
	return 0, fmt.Errorf("memory of process %d cannot be read: is it running, and may this user read it?", pid)
}

// roughlyResident is a cheap resident, inexact by a few pages, for frequent samples.
func roughlyResident(pid int) (uint64, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	fields := bytes.Fields(text)
	if err != nil || len(fields) < 2 {
		return 0, fmt.Errorf("memory of process %d cannot be read: is it running?", pid)
	}
	pages, err := strconv.ParseUint(string(fields[1]), 10, 64)
	return pages * uint64(os.Getpagesize()), err
}

func field(text []byte, key string) (uint64, bool) {
	_, rest, found := bytes.Cut(text, []byte(key))
	fields := bytes.Fields(rest)
	if !found || len(fields) == 0 {
		return 0, false
	}
	n, err := strconv.ParseUint(string(fields[0]), 10, 64)
	return n, err == nil
}
