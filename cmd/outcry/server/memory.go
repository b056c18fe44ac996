package server

import (
	"errors"
	"log/slog"
	"math"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"strconv"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/cmd/outcry/config"
)

// memoryShare is the fraction of the memory for heap and stacks. The rest is for memory that the runtime's limit does
// not count: the kernel's buffers of connections, the pages of the store, other programs.
const memoryShare = 0.75

// memorySource returns the available memory in bytes, or memlimit.ErrNoLimit.
type memorySource struct {
	name  string
	bytes memlimit.Provider
}

// memorySources are the possible bounds of this process's memory.
var memorySources = []memorySource{{"container", memlimit.FromCgroup}, {"machine", memlimit.FromSystem}}

// tuneMemory configures the garbage collector, for the reasons in docs/decisions/0003-memory-and-its-collector.md.
// GOMEMLIMIT and GOGC in the environment take precedence.
func tuneMemory(c *config.Runtime, log *slog.Logger) {
	limitFrom, percentFrom := "GOMEMLIMIT", "GOGC"
	if os.Getenv("GOMEMLIMIT") == "" {
		var limit int64
		limit, limitFrom = chooseLimit(int64(c.MemoryLimit), memorySources, log)
		debug.SetMemoryLimit(limit)
	}
	if os.Getenv("GOGC") == "" {
		percentFrom = "configuration"
		debug.SetGCPercent(c.GCPercent) // negative: off
	}
	limit, percent := memoryTuning()
	log.Info("memory", "limit", limit, "limit_from", limitFrom, "gc_percent", percent, "gc_percent_from", percentFrom)
}

// chooseLimit returns the configured limit in bytes, or a share of the smallest source's, and its origin.
func chooseLimit(configured int64, sources []memorySource, log *slog.Logger) (limit int64, from string) {
	switch {
	case configured > 0:
		return configured, "configuration"
	case configured < 0:
		return math.MaxInt64, "configuration"
	}
	limit, from = math.MaxInt64, "nothing"
	for _, s := range sources {
		n, err := s.bytes()
		if err != nil {
			warnOfSource(s.name, err, log)
			continue
		}
		if share := float64(n) * memoryShare; share < float64(limit) {
			limit, from = int64(share), s.name
		}
	}
	return limit, from
}

// boundMemory derives the limits from the available memory, if Go has no memory limit.
func boundMemory(l *broker.Limits, log *slog.Logger) {
	if debug.SetMemoryLimit(-1) == math.MaxInt64 {
		l.Memory, _ = chooseLimit(0, memorySources, log)
	}
}

// warnOfSource logs a source's error, unless it has no limit.
func warnOfSource(name string, err error, log *slog.Logger) {
	for _, fine := range []error{memlimit.ErrNoLimit, memlimit.ErrNoCgroup, memlimit.ErrCgroupsNotSupported} {
		if errors.Is(err, fine) {
			return
		}
	}
	log.Warn("size of the memory unknown; set runtime.memory_limit", "source", name, "error", err)
}

// memoryTuning formats the present limit and percentage.
func memoryTuning() (limit, percent string) {
	now := []metrics.Sample{{Name: "/gc/gomemlimit:bytes"}, {Name: "/gc/gogc:percent"}}
	metrics.Read(now)
	limit, percent = "none", "none"
	if n := now[0].Value.Uint64(); n < math.MaxInt64 {
		limit = strconv.FormatUint(n>>20, 10) + "MiB"
	}
	if n := now[1].Value.Uint64(); n < math.MaxInt64 {
		percent = strconv.FormatUint(n, 10)
	}
	return limit, percent
}
