package passwd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Problem is one error in a password file.
type Problem struct {
	Line, Column int // from 1; the column counts bytes
	Message      string
}

// FileError holds all errors in a password file.
type FileError struct {
	Path     string
	Problems []Problem // at least one, in the order of the file
}

// Error lists the problems, one a line: path:line:column: message.
func (e *FileError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = fmt.Sprintf("%s:%d:%d: %s", e.Path, p.Line, p.Column, p.Message)
	}
	return strings.Join(lines, "\n")
}

// record is a line of the file with a user: user:hash or user:hash:claims.
type record struct {
	line   int // from 0
	user   string
	hash   hash
	claims map[string]any // nil if absent

	hashText, claimsText string // the file's original text
}

// parseFile parses the lines of a password file. Blank lines and those that begin with # are skipped.
func parseFile(path string, lines []string) ([]record, error) {
	bad := &FileError{Path: path}
	var records []record
	seen := map[string]int{}
	for i, text := range lines {
		text = strings.TrimSuffix(text, "\r")
		if strings.TrimSpace(text) == "" || text[0] == '#' {
			continue
		}
		r, column, err := parseLine(text)
		if first, ok := seen[r.user]; err == nil && ok {
			column, err = 1, fmt.Errorf("the user %q is already in line %d; delete one of the two", r.user, first+1)
		}
		if err != nil {
			bad.Problems = append(bad.Problems, Problem{i + 1, column, err.Error()})
			continue
		}
		r.line, seen[r.user] = i, i
		records = append(records, r)
	}
	if len(bad.Problems) > 0 {
		return nil, bad
	}
	return records, nil
}

// parseLine parses user:hash or user:hash:claims. With an error it returns the error's column.
func parseLine(text string) (r record, column int, err error) {
	user, rest, found := strings.Cut(text, ":")
	if !found {
		return r, 1, errors.New("there is no colon; a line is user:hash or user:hash:{claims}")
	}
	if err := checkUser(user); err != nil {
		return r, 1, err
	}
	hashText, claimsText, hasClaims := strings.Cut(rest, ":")
	column = len(user) + 2
	h, err := parseHash(hashText)
	if err != nil {
		return r, column, err
	}
	r = record{user: user, hash: h, hashText: hashText, claimsText: claimsText}
	if !hasClaims {
		return r, 0, nil
	}
	column += len(hashText) + 1
	claims, offset, err := parseClaims(claimsText)
	if err != nil {
		return r, column + offset, err
	}
	r.claims = claims
	return r, 0, nil
}

// parseClaims parses a JSON object. With an error it returns the error's offset.
func parseClaims(text string) (claims map[string]any, offset int, err error) {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	err = decoder.Decode(&claims)
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return nil, max(int(syntax.Offset)-1, 0), fmt.Errorf("the claims are not JSON: %v", syntax)
	}
	if err != nil || claims == nil {
		return nil, 0, errors.New(`the claims are not a JSON object such as {"rooms":["lobby"]}`)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, int(decoder.InputOffset()), errors.New("there is something after the claims")
	}
	for name, value := range claims {
		claims[name] = plainValue(value)
	}
	return claims, 0, nil
}

// plainValue converts whole numbers to int64 and others to float64.
func plainValue(value any) any {
	switch v := value.(type) {
	case json.Number:
		if whole, err := v.Int64(); err == nil {
			return whole
		}
		fraction, _ := v.Float64()
		return fraction
	case []any:
		for i := range v {
			v[i] = plainValue(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = plainValue(v[name])
		}
	}
	return value
}

// checkUser refuses names that the file's format excludes, or that look like another name.
func checkUser(user string) error {
	switch {
	case user == "":
		return errors.New("the user's name is empty")
	case !utf8.ValidString(user) || strings.ContainsFunc(user, unicode.IsControl):
		return errors.New("the user's name has a control character, or is not UTF-8")
	case strings.ContainsRune(user, unicode.ReplacementChar):
		return errors.New("the user's name has a replacement character (U+FFFD): it was not UTF-8; write the name again")
	case strings.Contains(user, ":"):
		return fmt.Errorf("the user's name %q has a colon", user)
	case user[0] == '#' || strings.TrimSpace(user) != user:
		return fmt.Errorf("the user's name %q begins with # or a space, or ends with a space", user)
	}
	return nil
}

// splitFile returns the lines of a file without line ends.
func splitFile(text []byte) []string {
	text = bytes.TrimSuffix(text, []byte("\n"))
	if len(text) == 0 {
		return nil
	}
	return strings.Split(string(text), "\n")
}
