package denylist

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/outcry-mqtt/outcry/hooks/internal/plaintext"
)

// maxFileBytes bounds a deny file: some 300,000 lines.
const maxFileBytes = 16 << 20

// Kind selects the property of a client that an entry denies.
type Kind string

// The kinds of entries.
const (
	User   Kind = "user"   // a user name
	Token  Kind = "token"  // the claim jti of a token (RFC 7519 4.1.7)
	Client Kind = "client" // a client identifier
)

// Kinds returns all kinds of entries.
func Kinds() []Kind { return []Kind{User, Token, Client} }

// Entry is one line of a deny file.
type Entry struct {
	Kind  Kind
	Value string    // not empty, UTF-8
	Until time.Time // expiry; zero: never
	Note  string    // comment behind #, without spaces at its ends
}

// Expired reports whether the entry has expired at the time now.
func (e Entry) Expired(now time.Time) bool { return !e.Until.IsZero() && !now.Before(e.Until) }

// String formats the entry as a line of the file.
func (e Entry) String() string {
	line := string(e.Kind) + " " + quote(e.Value)
	if !e.Until.IsZero() {
		line += " until " + e.Until.UTC().Format(time.RFC3339)
	}
	if e.Note != "" {
		line += " # " + e.Note
	}
	return line
}

// Problem is one error in a deny file.
type Problem struct {
	Line    int // from 1
	Message string
}

// FileError holds all errors in a deny file.
type FileError struct {
	Path     string
	Problems []Problem // at least one, in the order of the file
}

// Error lists the problems, one a line: path:line: message.
func (e *FileError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = fmt.Sprintf("%s:%d: %s", e.Path, p.Line, p.Message)
	}
	return strings.Join(lines, "\n")
}

// Parse parses a deny file's text. Its error is a *FileError that uses the given name.
func Parse(name string, text []byte) ([]Entry, error) {
	lines, err := parseFile(name, text)
	var entries []Entry
	for _, l := range lines {
		if l.entry.Kind != "" {
			entries = append(entries, l.entry)
		}
	}
	return entries, err
}

// line is a line of the file with its entry, if any.
type line struct {
	text  string
	entry Entry // without a kind for a blank line or a comment
}

func parseFile(name string, text []byte) ([]line, error) {
	if err := plaintext.Check(text); err != nil {
		return nil, &FileError{name, []Problem{{1, "the file " + err.Error()}}}
	}
	bad := &FileError{Path: name}
	var lines []line
	seen := map[Entry]int{}
	for raw := range bytes.Lines(text) {
		l := line{text: strings.TrimRight(string(raw), "\r\n")}
		entry, err := parseLine(l.text)
		key := Entry{Kind: entry.Kind, Value: entry.Value}
		if first := seen[key]; first > 0 && err == nil {
			err = fmt.Errorf("%s %q is already in line %d; delete one of the two", entry.Kind, entry.Value, first)
		}
		l.entry = entry
		lines = append(lines, l)
		if err != nil {
			bad.Problems = append(bad.Problems, Problem{len(lines), err.Error()})
		} else if entry.Kind != "" {
			seen[key] = len(lines)
		}
	}
	if len(bad.Problems) > 0 {
		return nil, bad
	}
	return lines, nil
}

// parseLine parses KIND VALUE [until TIME] [# NOTE]. For a line without an entry, e has no kind.
func parseLine(text string) (e Entry, err error) {
	if !utf8.ValidString(text) {
		return e, errors.New("the line is not UTF-8")
	}
	kind, rest := cut(text)
	if kind == "" || kind[0] == '#' {
		return e, nil
	}
	if !slices.Contains(Kinds(), Kind(kind)) {
		return e, fmt.Errorf("%q is not a kind of entry; write user, token or client", kind)
	}
	e.Kind = Kind(kind)
	if e.Value, rest, err = value(rest); err != nil {
		return Entry{}, err
	}
	word, rest := cut(rest)
	if word == "until" {
		word, rest = cut(rest)
		if e.Until, err = time.Parse(time.RFC3339, word); err != nil {
			return Entry{}, fmt.Errorf("%q is not a time; write one such as 2026-12-31T18:00:00Z", word)
		}
		word, rest = cut(rest)
	}
	if word != "" && word[0] != '#' {
		return Entry{}, fmt.Errorf("unexpected %q; write %s VALUE or %s VALUE until TIME, and quotes around a value with spaces",
			word, kind, kind)
	}
	e.Note = strings.TrimSpace(strings.TrimPrefix(word, "#") + " " + rest)
	return e, nil
}

// cut returns the first word of a text, and the rest.
func cut(text string) (word, rest string) {
	text = strings.TrimLeft(text, " \t")
	if i := strings.IndexAny(text, " \t"); i >= 0 {
		return text[:i], strings.Trim(text[i:], " \t")
	}
	return text, ""
}

// value parses a word, or a text in double quotes as in Go.
func value(text string) (value, rest string, err error) {
	text = strings.TrimLeft(text, " \t")
	if !strings.HasPrefix(text, `"`) {
		if value, rest = cut(text); value != quote(value) || value == "" {
			return "", "", fmt.Errorf("%q is not a value; write it in double quotes", value)
		}
		return value, rest, nil
	}
	quoted, err := strconv.QuotedPrefix(text)
	if err != nil {
		return "", "", errors.New("the value has unmatched quotes")
	}
	rest = text[len(quoted):]
	if value, err = strconv.Unquote(quoted); err == nil {
		err = check(value)
	}
	if err == nil && rest != "" && rest[0] != ' ' && rest[0] != '\t' {
		err = errors.New("a space is missing after the quoted value")
	}
	return value, rest, err
}

// check refuses values that no token, user or client can have [MQTT-1.5.4-1] [MQTT-1.5.4-2].
func check(value string) error {
	switch {
	case value == "":
		return errors.New("the value is empty")
	case !utf8.ValidString(value) || strings.ContainsRune(value, 0):
		return errors.New("the value is not UTF-8, or has a null character")
	}
	return nil
}

// quote formats a value for the file: in quotes if a reader could misread it.
func quote(value string) string {
	for _, r := range value {
		if r == ' ' || r == '"' || r == '\\' || !strconv.IsPrint(r) {
			return strconv.Quote(value)
		}
	}
	if value == "" || value[0] == '#' {
		return strconv.Quote(value)
	}
	return value
}
