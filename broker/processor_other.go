//go:build !linux

package broker

import "time"

// processorTime is not known here, nor needed: shards cannot be hosted.
func processorTime() time.Duration { return 0 }
