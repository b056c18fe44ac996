package command

import (
	"errors"
	"strconv"
	"time"
)

// maxSeconds is the maximum number of seconds: thirty years.
const maxSeconds = 1e9

// Seconds is a flag that accepts a number of seconds, or a duration with a unit.
type Seconds time.Duration

// String formats the flag's value.
func (s *Seconds) String() string {
	return strconv.FormatFloat(time.Duration(*s).Seconds(), 'g', -1, 64)
}

// Type names the value in --help.
func (s *Seconds) Type() string { return "seconds" }

// Set parses the value.
func (s *Seconds) Set(text string) error {
	d, err := time.ParseDuration(text)
	if n, bad := strconv.ParseFloat(text, 64); bad == nil {
		if d, err = time.Duration(-1), nil; n >= 0 && n <= maxSeconds {
			d = time.Duration(n * float64(time.Second))
		}
	}
	if err != nil || d < 0 {
		return errors.New("want seconds, or a duration such as 500ms")
	}
	*s = Seconds(d)
	return nil
}
