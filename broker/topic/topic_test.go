package topic_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/outcry-mqtt/outcry/broker/topic"
)

func TestCheckName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]error{
		"a": nil, "/": nil, "a//b": nil, "$SYS/x": nil, "a b": nil, "żółw/€": nil,
		"": topic.ErrEmpty, "a/+": topic.ErrWildcard, "a#": topic.ErrWildcard,
		"a\x00": topic.ErrEncoding, "\xff": topic.ErrEncoding, "\xed\xa0\x80": topic.ErrEncoding,
		strings.Repeat("x", 65536): topic.ErrTooLong,
	} {
		if err := topic.CheckName(name); !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Errorf("CheckName(%.20q) = %v, want %v", name, err, want)
		}
	}
}

func TestCheckFilter(t *testing.T) {
	t.Parallel()
	for filter, want := range map[string]error{
		"a": nil, "#": nil, "+": nil, "a/#": nil, "+/a/+": nil, "/#": nil, "+/#": nil, "//": nil,
		"": topic.ErrEmpty, "a#": topic.ErrHash, "#/a": topic.ErrHash, "a/#/b": topic.ErrHash, "a/b#": topic.ErrHash,
		"a+": topic.ErrPlus, "+a/b": topic.ErrPlus, "a/++": topic.ErrPlus, "a\x00b": topic.ErrEncoding,
	} {
		if err := topic.CheckFilter(filter); !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Errorf("CheckFilter(%q) = %v, want %v", filter, err, want)
		}
	}
}

func TestSplitShare(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in, name, rest string
		err            error
	}{
		{"a/b", "", "a/b", nil},
		{"$share/g/a/#", "g", "a/#", nil},
		{"$share/g//a", "g", "/a", nil},
		{"$shared/g/a", "", "$shared/g/a", nil},
		{"$share", "", "", topic.ErrShare},
		{"$share/g", "", "", topic.ErrShare},
		{"$share/g/", "", "", topic.ErrShare},
		{"$share//a", "", "", topic.ErrShareName},
		{"$share/+/a", "", "", topic.ErrShareName},
		{"$share/g#/a", "", "", topic.ErrShareName},
	} {
		name, rest, err := topic.SplitShare(c.in)
		if name != c.name || rest != c.rest || !errors.Is(err, c.err) {
			t.Errorf("SplitShare(%q) = %q, %q, %v; want %q, %q, %v", c.in, name, rest, err, c.name, c.rest, c.err)
		}
		if got := topic.JoinShare(name, rest); err == nil && got != c.in {
			t.Errorf("JoinShare(%q, %q) = %q; want %q", name, rest, got, c.in)
		}
	}
}

func TestMatch(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		filter, name string
		want         bool
	}{
		{"a/b", "a/b", true}, {"a/b", "a/b/c", false}, {"a", "a/", false}, {"a/", "a", false},
		{"#", "a", true}, {"#", "/", true}, {"a/#", "a", true}, {"a/#", "a/b/c", true}, {"a/#", "ab", false},
		{"+", "a", true}, {"+", "/a", false}, {"/+", "/a", true}, {"+/+", "/a", true}, {"a/+", "a", false}, {"a/+", "a/", true},
		{"+/b/#", "a/b", true}, {"#", "$SYS/a", false}, {"+/a", "$SYS/a", false}, {"$SYS/#", "$SYS/a", true}, {"$SYS/+", "$SYS/a", true},
		{"a/#", "a/$b", true}, {"A", "a", false},
	} {
		if got := topic.Match(c.filter, c.name); got != c.want {
			t.Errorf("Match(%q, %q) = %v", c.filter, c.name, got)
		}
	}
}

// alphabet returns every string of up to n of the given levels.
func alphabet(levels []string, n int) []string {
	all := slices.Clone(levels)
	last := all
	for range n - 1 {
		var next []string
		for _, head := range last {
			for _, l := range levels {
				next = append(next, head+"/"+l)
			}
		}
		all, last = append(all, next...), next
	}
	return slices.DeleteFunc(all, func(s string) bool { return s == "" })
}

// text is a filter that is its own value.
type text string

func (t text) Key() string { return string(t) }

// TestTreesAgreeWithMatch compares both trees with Match for every filter and name of a small alphabet.
func TestTreesAgreeWithMatch(t *testing.T) {
	t.Parallel()
	names := alphabet([]string{"", "a", "b", "$x"}, 3)
	filters := slices.DeleteFunc(alphabet([]string{"", "a", "b", "$x", "+", "#"}, 3),
		func(f string) bool { return topic.CheckFilter(f) != nil })
	var byFilter topic.Filters[text]
	var byName topic.Names[string]
	for _, f := range filters {
		byFilter.Set(text(f))
	}
	for _, n := range names {
		byName.Set(n, n)
	}
	if byFilter.Len() != len(filters) || byName.Len() != len(names) {
		t.Fatalf("lengths %d, %d; want %d, %d", byFilter.Len(), byName.Len(), len(filters), len(names))
	}
	for _, n := range names {
		got := map[string]int{}
		byFilter.Match(n, func(f text) { got[string(f)]++ })
		want := map[string]int{}
		for _, f := range filters {
			if topic.Match(f, n) {
				want[f] = 1
			}
		}
		if !maps.Equal(got, want) {
			t.Fatalf("filters for %q: got %v, want %v", n, got, want)
		}
	}
	for _, f := range filters {
		got := map[string]int{}
		byName.Match(f, func(n, v string) bool {
			if v != n {
				t.Fatalf("value of %q is %q", n, v)
			}
			got[n]++
			return true
		})
		want := map[string]int{}
		for _, n := range names {
			if topic.Match(f, n) {
				want[n] = 1
			}
		}
		if !maps.Equal(got, want) {
			t.Fatalf("names for %q: got %v, want %v", f, got, want)
		}
	}
	for i, f := range filters {
		if v, ok := byFilter.Get(f); !ok || v != text(f) {
			t.Fatalf("Get(%q) = %q, %v", f, v, ok)
		}
		if !byFilter.Delete(f) || byFilter.Delete(f) || byFilter.Len() != len(filters)-i-1 {
			t.Fatalf("Delete(%q)", f)
		}
		if _, ok := byFilter.Get(f); ok {
			t.Fatalf("Get(%q) after Delete", f)
		}
	}
	for _, n := range names {
		if !byName.Delete(n) || byName.Delete(n) {
			t.Fatalf("Delete(%q)", n)
		}
	}
	byName.Match("#", func(n, _ string) bool { t.Fatalf("%q left", n); return true })
}

func TestNamesMatchStops(t *testing.T) {
	t.Parallel()
	var byName topic.Names[int]
	for i, n := range alphabet([]string{"a", "b", "c"}, 3) {
		byName.Set(n, i)
	}
	for _, f := range []string{"#", "a/#", "+/+", "+/b/#"} {
		calls := 0
		byName.Match(f, func(string, int) bool { calls++; return calls < 3 })
		if calls != 3 {
			t.Errorf("%q: %d calls after fn returned false at the third", f, calls)
		}
	}
}

func FuzzTrees(f *testing.F) {
	addCorpus(f)
	f.Add("a/+/c", "a/b/c")
	f.Add("#", "$SYS")
	f.Fuzz(func(t *testing.T, filter, name string) {
		if topic.CheckFilter(filter) != nil || topic.CheckName(name) != nil {
			return
		}
		want := topic.Match(filter, name)
		var fs topic.Filters[text]
		var ns topic.Names[int]
		fs.Set(text(filter))
		ns.Set(name, 1)
		hits := 0
		fs.Match(name, func(text) { hits++ })
		ns.Match(filter, func(string, int) bool { hits++; return true })
		if want && hits != 2 || !want && hits != 0 {
			t.Fatalf("Match(%q, %q) = %v, trees hit %d", filter, name, want, hits)
		}
		if !fs.Delete(filter) || !ns.Delete(name) || fs.Len() != 0 || ns.Len() != 0 {
			t.Fatal("delete left something")
		}
	})
}

func BenchmarkFiltersMatch(b *testing.B) {
	var fs topic.Filters[text]
	for _, f := range []text{"ticker/#", "ticker/+", "chat/+/say", "machine/#", "ticker/ACME"} {
		fs.Set(f)
	}
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		fs.Match("ticker/ACME", func(text) { n++ })
	}
}

// BenchmarkFiltersDepth looks up a topic of a given depth, with a filter of + alone and one that ends in # at each
// level.
func BenchmarkFiltersDepth(b *testing.B) {
	for _, levels := range []int{1, 2, 4, 8, 16, 32, 64, 128} {
		b.Run(fmt.Sprintf("levels=%d", levels), func(b *testing.B) {
			var fs topic.Filters[text]
			fs.Set(text(strings.Repeat("+/", levels-1) + "+"))
			for i := range levels {
				fs.Set(text(strings.Repeat("l/", i) + "#"))
			}
			name := strings.Repeat("l/", levels-1) + "l"
			n := 0
			for b.Loop() {
				fs.Match(name, func(text) { n++ })
			}
			if n != b.N*(levels+1) {
				b.Errorf("%d matches in %d rounds", n, b.N)
			}
		})
	}
}

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
