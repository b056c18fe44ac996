package server

import (
	"strings"
	"testing"
)

func TestLossNotice(t *testing.T) {
	for format, want := range map[string]string{"text": `msg="log lines lost" lines=3`, "json": `"msg":"log lines lost","lines":3`} {
		if got := string(lossNotice(format, 3)); !strings.Contains(got, want) || strings.Count(got, "\n") != 1 {
			t.Errorf("%s: %q", format, got)
		}
	}
}
