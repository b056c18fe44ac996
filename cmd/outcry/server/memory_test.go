package server

import (
	"bytes"
	"errors"
	"log/slog"
	"math"
	"strings"
	"testing"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/outcry-mqtt/outcry/cmd/outcry/outcrytest"
)

func TestChooseLimit(t *testing.T) {
	of := func(name string, bytes uint64, err error) memorySource {
		return memorySource{name, func() (uint64, error) { return bytes, err }}
	}
	broken := errors.New("mountinfo: line 3 is odd")
	for _, tt := range []struct {
		name       string
		configured int64
		sources    []memorySource
		want       int64
		from       string
		warns      bool
	}{
		{"configured", 100 << 20, []memorySource{of("machine", 1<<30, nil)}, 100 << 20, "configuration", false},
		{"none", -1, []memorySource{of("machine", 1<<30, nil)}, math.MaxInt64, "configuration", false},
		{"container below the machine", 0, []memorySource{of("container", 4<<30, nil), of("machine", 8<<30, nil)}, 3 << 30, "container", false},
		{"container above the machine", 0, []memorySource{of("container", 16<<30, nil), of("machine", 8<<30, nil)}, 6 << 30, "machine", false},
		{"no limit", 0, []memorySource{of("container", 0, memlimit.ErrNoLimit), of("machine", 8<<30, nil)}, 6 << 30, "machine", false},
		{"no containers", 0, []memorySource{of("container", 0, memlimit.ErrCgroupsNotSupported), of("machine", 8<<30, nil)}, 6 << 30, "machine", false},
		{"a source that fails", 0, []memorySource{of("container", 0, broken), of("machine", 8<<30, nil)}, 6 << 30, "machine", true},
		{"nobody knows", 0, []memorySource{of("machine", 0, memlimit.ErrNoLimit)}, math.MaxInt64, "nothing", false},
		{"a number that stands for no limit", 0, []memorySource{of("container", math.MaxUint64, nil)}, math.MaxInt64, "nothing", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			limit, from := chooseLimit(tt.configured, tt.sources, slog.New(slog.NewTextHandler(&log, nil)))
			if limit != tt.want || from != tt.from {
				t.Errorf("%d from %s, want %d from %s", limit, from, tt.want, tt.from)
			}
			if warns := strings.Contains(log.String(), broken.Error()); warns != tt.warns {
				t.Errorf("logged %q", log.String())
			}
		})
	}
}

// The program logs and exports its choice, and the environment takes precedence over the configuration.
func TestMemoryIsTuned(t *testing.T) {
	for _, tt := range []struct {
		name, limit, percent string // of the environment
		args                 []string
		log                  []string
		metrics              []string
	}{
		{"defaults", "", "", nil, []string{"gc_percent=100 ", "gc_percent_from=configuration"}, []string{"go_gc_gogc_percent 100"}},
		{"configured", "", "", []string{"--set", "runtime.memory_limit=200MiB", "--set", "runtime.gc_percent=50"},
			[]string{"limit=200MiB limit_from=configuration gc_percent=50 gc_percent_from=configuration"},
			[]string{"go_gc_gomemlimit_bytes 2.097152e+08", "go_gc_gogc_percent 50"}},
		{"environment", "300MiB", "70", []string{"--set", "runtime.memory_limit=200MiB", "--set", "runtime.gc_percent=50"},
			[]string{"limit=300MiB limit_from=GOMEMLIMIT gc_percent=70 gc_percent_from=GOGC"},
			[]string{"go_gc_gomemlimit_bytes 3.145728e+08", "go_gc_gogc_percent 70"}},
		{"no limit", "", "", []string{"--set", "runtime.memory_limit=none"}, []string{"limit=none limit_from=configuration"}, nil},
		{"at the limit only", "", "", []string{"--set", "runtime.gc_percent=none"}, []string{"gc_percent=none"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("GOMEMLIMIT", tt.limit)
			t.Setenv("GOGC", tt.percent)
			p := outcrytest.StartServe(t, t.TempDir(), tt.args...)
			p.WaitFor(p.Stderr, 0, append(tt.log, "msg=memory")...)
			shown := outcrytest.Fetch(t, p.Addresses["http"], "/metrics")
			for _, want := range append(tt.metrics, `go_sched_pauses_total_gc_seconds_bucket{le="`) {
				if !strings.Contains(shown, want) {
					t.Errorf("no %q in the metrics", want)
				}
			}
			p.Stop()
		})
	}
}
