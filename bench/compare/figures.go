package main

import (
	"strconv"

	"github.com/outcry-mqtt/outcry/bench"
)

// figure is a value taken from a report; of returns a negative number if the report lacks it.
type figure struct {
	title  string
	of     func(*bench.Report) float64
	format func(float64) string
	better better
}

// better is the direction in which a figure improves.
type better uint8

const (
	more better = iota
	less
	neither // a count that should be 0
)

var (
	deliveries = figure{"deliveries a second", func(r *bench.Report) float64 { return messages(r).ReceivedPerSecond }, rate, more}
	lost       = figure{"lost", func(r *bench.Report) float64 { return float64(messages(r).Lost + messages(r).Unsent) }, formatCount, neither}
	perMessage = figure{"processor per delivery", func(r *bench.Report) float64 { return r.Process.PerMessage }, micros, less}
	memory     = figure{"memory at its peak", func(r *bench.Report) float64 { return float64(r.Process.Peak) }, mebibytes, less}
	p50        = figure{"p50", func(r *bench.Report) float64 { return latency(r).P50 }, duration, less}
	p99        = figure{"p99", func(r *bench.Report) float64 { return latency(r).P99 }, duration, less}
	p999       = figure{"p99.9", func(r *bench.Report) float64 { return latency(r).P999 }, duration, less}
	connects   = figure{"connections a second", func(r *bench.Report) float64 { return r.Connections.PerSecond }, rate, more}
	perConnect = figure{"processor per connection", func(r *bench.Report) float64 { return r.Process.ConnectCost }, micros, less}
	idleBytes  = figure{"resident bytes per connection", func(r *bench.Report) float64 { return r.Process.PerConnect }, formatCount, less}
	allIn      = figure{"until the last was in", func(r *bench.Report) float64 { return r.Rounds[len(r.Rounds)-1] * 1e6 }, duration, less}
	refusals   = figure{"not let in at once", func(r *bench.Report) float64 { return float64(r.Connections.Failed) }, formatCount, neither}
)

var throughput = []figure{deliveries, perMessage, memory}

func messages(r *bench.Report) bench.Messages {
	if r.Messages == nil {
		return bench.Messages{}
	}
	return *r.Messages
}

func latency(r *bench.Report) bench.Latency {
	if r.Latency == nil {
		return bench.Latency{}
	}
	return *r.Latency
}

// ratio returns by which factor ours is better; "" if that is undefined.
func (f figure) ratio(ours, theirs float64) string {
	switch {
	case f.better == neither || ours <= 0 || theirs <= 0:
		return ""
	case f.better == less:
		return formatNumber(theirs/ours) + "×"
	}
	return formatNumber(ours/theirs) + "×"
}

// formatNumber formats a number with two digits, or all digits before the point.
func formatNumber(x float64) string {
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

func micros(x float64) string { return formatNumber(x) + " µs" }

// duration formats microseconds.
func duration(x float64) string {
	switch {
	case x >= 1e6:
		return formatNumber(x/1e6) + " s"
	case x >= 1e3:
		return formatNumber(x/1e3) + " ms"
	}
	return micros(x)
}

func mebibytes(x float64) string { return strconv.FormatFloat(x/(1<<20), 'f', 0, 64) + " MiB" }

func formatCount(x float64) string { return strconv.FormatFloat(x, 'f', 0, 64) }
