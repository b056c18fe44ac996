//go:build !linux

package disk

import (
	"math/rand/v2"
	"os/exec"
)

// Faults needs Linux.
type Faults struct{ Random *rand.Rand }

// Start returns ErrUnsupported.
func (f *Faults) Start(*exec.Cmd) error { return ErrUnsupported }

// Arm does nothing.
func (f *Faults) Arm(bool) {}

// Failed is 0.
func (f *Faults) Failed() int { return 0 }

// Filtered returns ErrUnsupported.
func Filtered([]string) error { return ErrUnsupported }

// Inside returns ErrUnsupported.
func Inside(*exec.Cmd) error { return ErrUnsupported }

// Mount returns ErrUnsupported.
func Mount(string, int64) error { return ErrUnsupported }

// Unmount returns ErrUnsupported.
func Unmount(string) error { return ErrUnsupported }

// Limit returns ErrUnsupported.
func Limit(int, string) error { return ErrUnsupported }

// Lift returns ErrUnsupported.
func Lift(int) error { return ErrUnsupported }
