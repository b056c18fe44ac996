//go:build !linux

package poller

import "time"

// ProcessorTime returns 0: it is unknown on this system, and no shard is hosted.
func ProcessorTime() time.Duration { return 0 }
