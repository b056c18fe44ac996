package config

import "strings"

// Suggest returns the name most similar to text, or "".
func Suggest(text string, names []string) string {
	best, least := "", 1+len(text)/3
	for _, name := range names {
		if d := distance(strings.ToLower(text), name); d <= least {
			best, least = name, d-1
		}
	}
	return best
}

// distance returns the Levenshtein distance of a and b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
