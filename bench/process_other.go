//go:build !linux

package bench

import "time"

func cpuTime(int) (time.Duration, error) { return 0, errUnsupported }

func resident(int) (uint64, error) { return 0, errUnsupported }

func roughlyResident(int) (uint64, error) { return 0, errUnsupported }
