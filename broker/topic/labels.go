package topic

import "strings"

// first returns the first level of the rest of a name or filter.
func first(rest string) string {
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		return rest[:i]
	}
	return rest
}

// untilWildcard returns the length of the levels before the first wildcard, without the last "/".
func untilWildcard(filter string) int {
	for i := 0; i < len(filter); i++ {
		if c := filter[i]; (c == '+' || c == '#') && (i == 0 || filter[i-1] == '/') {
			return max(i-1, 0)
		}
	}
	return len(filter)
}

// commonLevels returns the length of the leading levels that a and b share, without the last "/".
func commonLevels(a, b string) (n int) {
	for i := 0; ; i++ {
		endA, endB := i == len(a), i == len(b)
		switch {
		case (endA || a[i] == '/') && (endB || b[i] == '/'):
			n = i
		case endA, endB, a[i] != b[i]:
			return n
		}
		if endA || endB {
			return n
		}
	}
}
