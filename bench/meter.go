package bench

import (
	"fmt"
	"time"
)

// meter measures the broker's process and this one.
type meter struct {
	pid        int // 0: the broker is not measured
	idle, peak uint64
	lastLook   time.Time

	broker, own       time.Duration // processor time at the start
	from              time.Time
	brokerUsed, using time.Duration // processor time within the measured time
	took              time.Duration
	stopped           bool
	after             uint64 // memory at the end
}

// open records the values before the first connection.
func (m *meter) open() (err error) {
	if m.pid == 0 {
		return nil
	}
	if m.idle, err = resident(m.pid); err == nil {
		_, err = cpuTime(m.pid)
	}
	if err != nil {
		return fmt.Errorf("--pid %d: %w", m.pid, err)
	}
	m.peak = m.idle
	return nil
}

// look samples the broker's memory.
func (m *meter) look() {
	if m.pid == 0 || time.Since(m.lastLook) < 100*time.Millisecond {
		return
	}
	m.lastLook = time.Now()
	if now, err := roughlyResident(m.pid); err == nil {
		m.peak = max(m.peak, now)
	}
}

// start starts the measurement.
func (m *meter) start() {
	m.from, m.stopped = time.Now(), false
	m.own, _ = cpuTime(0)
	if m.pid != 0 {
		m.broker, _ = cpuTime(m.pid)
	}
}

// stop ends the measurement.
func (m *meter) stop() {
	m.took, m.stopped = time.Since(m.from), true
	own, _ := cpuTime(0)
	m.using = own - m.own
	if m.pid == 0 {
		return
	}
	if used, err := cpuTime(m.pid); err == nil {
		m.brokerUsed = used - m.broker
	}
	m.memory()
}

// began reports whether a measurement was started.
func (m *meter) began() bool { return !m.from.IsZero() }

// finish is stop, unless that was called since start.
func (m *meter) finish() {
	if !m.stopped {
		m.stop()
	}
}

// memory records the broker's memory.
func (m *meter) memory() {
	if m.pid == 0 {
		return
	}
	if now, err := resident(m.pid); err == nil {
		m.after = now
		m.peak = max(m.peak, now)
	}
}
