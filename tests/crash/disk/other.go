//go:build !linux

package disk

import (
	"math/rand/v2"
	"os/exec"
)

// Faults needs Linux.
type Faults struct{ Random *rand.Rand }

// Start fails with ErrUnsupported.
func (f *Faults) Start(*exec.Cmd) error { return ErrUnsupported }

// Arm does nothing.
func (f *Faults) Arm(bool) {}

// Failed returns 0.
func (f *Faults) Failed() int { return 0 }

// Filtered fails with ErrUnsupported.
func Filtered([]string) error { return ErrUnsupported }

// Inside fails with ErrUnsupported.
func Inside(*exec.Cmd) error { return ErrUnsupported }

// Mount fails with ErrUnsupported.
func Mount(string, int64) error { return ErrUnsupported }

// Unmount fails with ErrUnsupported.
func Unmount(string) error { return ErrUnsupported }

// Limit fails with ErrUnsupported.
func Limit(int, string) error { return ErrUnsupported }

// Lift fails with ErrUnsupported.
func Lift(int) error { return ErrUnsupported }
