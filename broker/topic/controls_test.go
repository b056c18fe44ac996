package topic_test

import (
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/outcry-mqtt/outcry/broker/topic"
)

// isControl is IsControl by Unicode's own tables: category Cc and the property Noncharacter_Code_Point.
func isControl(r rune) bool {
	return unicode.Is(unicode.Cc, r) || unicode.Is(unicode.Noncharacter_Code_Point, r)
}

// TestIsControl compares every code point with Unicode's tables.
func TestIsControl(t *testing.T) {
	t.Parallel()
	n := 0
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if got := topic.IsControl(r); got != isControl(r) {
			t.Fatalf("IsControl(%U) = %t", r, got)
		} else if got {
			n++
		}
	}
	if n != 65+66 { // of Unicode 4.0 and later; both numbers are stable by its policy
		t.Errorf("%d code points are refused, want 131", n)
	}
}

func FuzzHasControls(f *testing.F) {
	addCorpus(f)
	for _, s := range []string{"a/b", "a\nb", "a\x7fb", "a\u0085b", "a\uffffb", "\U0010fffe", "\ufdd0", "\xff", "żółw/€/😀"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want := false
		for b := []byte(s); len(b) > 0; {
			r, n := utf8.DecodeRune(b)
			want = want || isControl(r)
			b = b[n:]
		}
		if got := topic.HasControls(s); got != want {
			t.Errorf("HasControls(%q) = %t, want %t", s, got, want)
		}
	})
}
