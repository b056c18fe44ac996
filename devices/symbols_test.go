package devices_test

import (
	"regexp"
	"slices"
	"testing"

	"github.com/outcry-mqtt/outcry/devices"
)

func TestSymbols(t *testing.T) {
	list := devices.Symbols(5000, 1)
	seen := map[string]bool{}
	shape := regexp.MustCompile(`^[A-Z]{3,5}$`)
	for _, s := range list {
		if seen[s] || !shape.MatchString(s) {
			t.Errorf("symbol %q comes twice or is not three to five letters", s)
		}
		seen[s] = true
	}
	if list[0] != "ACME" || len(list) != 5000 {
		t.Errorf("%d symbols, the first %q", len(list), list[0])
	}
	if !slices.Equal(devices.Symbols(500, 1), list[:500]) {
		t.Error("the same seed gave other symbols")
	}
	if slices.Equal(devices.Symbols(500, 2), list[:500]) {
		t.Error("another seed gave the same symbols")
	}
	if n := len(devices.Symbols(20_000, 3)); n != 20_000 {
		t.Errorf("%d symbols, want 20,000", n)
	}
}
