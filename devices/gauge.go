package devices

import (
	"context"
	"math"
	"strings"
	"time"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/disk"
	"github.com/shirou/gopsutil/v4/mem"
	"github.com/shirou/gopsutil/v4/net"
)

// figures is one reading of the machine; nil parts are unknown.
type figures struct {
	cpu     *cpuFigures
	memory  *memoryFigures
	disk    *diskFigures
	network *networkFigures
}

type cpuFigures struct {
	Percent float64 `json:"percent"` // of all processors together, since the last reading
	T       int64   `json:"t"`
}

type memoryFigures struct {
	Used  uint64 `json:"used"`
	Total uint64 `json:"total"`
	T     int64  `json:"t"`
}

type diskFigures struct {
	Used  uint64 `json:"used"`
	Total uint64 `json:"total"`
	Read  uint64 `json:"read_bps"`
	Write uint64 `json:"write_bps"`
	T     int64  `json:"t"`
}

type networkFigures struct {
	Received uint64 `json:"rx_bps"`
	Sent     uint64 `json:"tx_bps"`
	T        int64  `json:"t"`
}

// gauge reads the machine's figures. Rates cover the time since the last reading, so the first reading has none.
type gauge struct {
	path string // of the file system to report

	last        time.Time // of the last reading
	diskRead    uint64
	diskWritten uint64
	received    uint64
	sent        uint64
}

func newGauge(path string) *gauge {
	g := &gauge{path: path}
	g.read(context.Background(), time.Now())
	return g
}

func (g *gauge) read(ctx context.Context, now time.Time) figures {
	t := now.UnixMilli()
	var f figures
	if p, err := cpu.PercentWithContext(ctx, 0, false); err == nil && len(p) == 1 {
		f.cpu = &cpuFigures{math.Round(p[0]*10) / 10, t}
	}
	if m, err := mem.VirtualMemoryWithContext(ctx); err == nil {
		f.memory = &memoryFigures{m.Used, m.Total, t}
	}
	seconds := now.Sub(g.last).Seconds()
	f.disk = g.disk(ctx, seconds, t)
	f.network = g.network(ctx, seconds, t)
	g.last = now
	return f
}

func (g *gauge) disk(ctx context.Context, seconds float64, t int64) *diskFigures {
	usage, err := disk.UsageWithContext(ctx, g.path)
	if err != nil {
		return nil
	}
	f := &diskFigures{Used: usage.Used, Total: usage.Total, T: t}
	counters, err := disk.IOCountersWithContext(ctx)
	if err != nil {
		return f
	}
	var read, write uint64
	for name, c := range counters {
		if wholeDisk(name, counters) {
			read, write = read+c.ReadBytes, write+c.WriteBytes
		}
	}
	f.Read, f.Write = perSecond(g.diskRead, read, seconds), perSecond(g.diskWritten, write, seconds)
	g.diskRead, g.diskWritten = read, write
	return f
}

// wholeDisk excludes partitions and devices stacked on others, which would count twice.
func wholeDisk[V any](name string, all map[string]V) bool {
	for _, stacked := range []string{"loop", "ram", "zram", "dm-", "md"} {
		if strings.HasPrefix(name, stacked) {
			return false
		}
	}
	for other := range all {
		if other != name && strings.HasPrefix(name, other) {
			return false
		}
	}
	return true
}

func (g *gauge) network(ctx context.Context, seconds float64, t int64) *networkFigures {
	counters, err := net.IOCountersWithContext(ctx, true)
	if err != nil {
		return nil
	}
	var received, sent uint64
	for _, c := range counters {
		if strings.HasPrefix(c.Name, "lo") {
			continue // the loopback interface
		}
		received, sent = received+c.BytesRecv, sent+c.BytesSent
	}
	f := &networkFigures{perSecond(g.received, received, seconds), perSecond(g.sent, sent, seconds), t}
	g.received, g.sent = received, sent
	return f
}

// perSecond returns a counter's rate; 0 if the counter was reset.
func perSecond(before, now uint64, seconds float64) uint64 {
	if now < before || seconds <= 0 {
		return 0
	}
	return uint64(float64(now-before) / seconds)
}
