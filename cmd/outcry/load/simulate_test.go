package load

import (
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/cmd/outcry/outcrytest"
)

func TestSimulateRefuses(t *testing.T) {
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{"with two tokens", []string{"ticker", "--token", "t", "--secret-file", "s"}, "omit --token"},
		{"without its secret", []string{"ticker", "--secret-file", "/nowhere/s"}, "secret file /nowhere/s: no such file"},
		{"rate", []string{"ticker", "--rate", "-1"}, "rate must be above 0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := outcrytest.RunCommand(t, NewSimulateCommand(), tt.args...)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}
