package listeners

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

func TestFailuresAreForgottenAndBounded(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	f := failures{now: func() time.Time { return now }, byNetwork: map[netip.Prefix]*failure{}}
	guesser := network("192.0.2.1:5")
	for range failuresAllowed {
		if f.tooMany(guesser) {
			t.Fatal("refused too early")
		}
		f.add(guesser)
	}
	if !f.tooMany(guesser) || f.tooMany(network("192.0.2.2:5")) {
		t.Error("not the one who guessed is refused")
	}
	now = now.Add(failuresWindow)
	if f.tooMany(guesser) {
		t.Error("refused for ever")
	}
	for i := range 3 * failuresKept {
		f.add(network(fmt.Sprintf("[2001:db8:%x::1]:5", i)))
	}
	if len(f.byNetwork) > failuresKept {
		t.Errorf("%d networks are remembered", len(f.byNetwork))
	}
}

func TestNetwork(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.1:5":           "192.0.2.1/32",
		"[::ffff:192.0.2.1]:5":  "192.0.2.1/32",
		"[2001:db8:1:2:3::4]:5": "2001:db8:1:2::/64",
		"[fe80::1%eth0]:5":      "fe80::/64",
		"nowhere":               "invalid Prefix",
	} {
		if got := network(remote).String(); got != want {
			t.Errorf("%s is of %s, want %s", remote, got, want)
		}
	}
}
