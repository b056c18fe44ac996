//go:build !linux

package poller

import (
	"errors"
	"time"
)

// Supported reports that descriptors cannot be added on this system: goroutines read the connections.
const Supported = false

// ErrUnsupported is returned by everything that takes a descriptor.
var ErrUnsupported = errors.New("poller: epoll is available on Linux only")

// Poller waits for Wake.
type Poller struct{ wake chan struct{} }

// New returns a poller.
func New() (*Poller, error) { return &Poller{wake: make(chan struct{}, 1)}, nil }

// Add fails with ErrUnsupported.
func (p *Poller) Add(int, uint64, Interest) error { return ErrUnsupported }

// Change fails with ErrUnsupported.
func (p *Poller) Change(int, uint64, Interest) error { return ErrUnsupported }

// Remove fails with ErrUnsupported.
func (p *Poller) Remove(int) error { return ErrUnsupported }

// Join fails with ErrUnsupported.
func (p *Poller) Join(*Poller, uint64) error { return ErrUnsupported }

// Leave fails with ErrUnsupported.
func (p *Poller) Leave(*Poller) error { return ErrUnsupported }

// Prepare announces that Wait follows.
func (p *Poller) Prepare() {}

// Wake ends the current or next Wait.
func (p *Poller) Wake() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Wait returns after Wake or timeout (negative: no limit), with no events.
func (p *Poller) Wait(timeout time.Duration, _ bool) ([]Event, error) {
	if timeout < 0 {
		<-p.wake
		return nil, nil
	}
	t := time.NewTimer(timeout)
	defer t.Stop()
	select {
	case <-p.wake:
	case <-t.C:
	}
	return nil, nil
}

// Close releases the poller.
func (p *Poller) Close() error { return nil }

// ProcessorTime returns 0: it is unknown on this system, and no shard is hosted.
func ProcessorTime() time.Duration { return 0 }
