package passwd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/outcry-mqtt/outcry/hooks/internal/folder"
)

// maxPasswordBytes is what MQTT's length of a password can say [MQTT-3.1.3.6].
const maxPasswordBytes = 65535

// ErrNoUser is Delete's error for a user that is not in the file.
var ErrNoUser = errors.New("no such user")

// Entry is what a password file tells of a user.
type Entry struct {
	User   string
	Scheme string         // "argon2id" or "bcrypt"
	Claims map[string]any // nil if there are none
}

// List returns the users of the file at path in its order.
func List(path string) ([]Entry, error) {
	_, records, err := readFile(path)
	if err != nil {
		return nil, err
	}
	entries := make([]Entry, len(records))
	for i, r := range records {
		entries[i] = Entry{User: r.user, Scheme: scheme(r.hash), Claims: r.claims}
	}
	return entries, nil
}

func scheme(h hash) string {
	if _, ok := h.(*argon2id); ok {
		return "argon2id"
	}
	return "bcrypt"
}

// Set gives a user a password, and makes the user, and the file, if there is none. The claims are replaced unless they
// are nil. The file is replaced as a whole; a crash leaves the old one or the new one. A new file is readable by its owner
// alone, one that was there keeps its mode. Of two edits at once, the later wins.
func Set(path, user, password string, claims map[string]any) error {
	if err := checkUser(user); err != nil {
		return err
	}
	if password == "" || len(password) > maxPasswordBytes {
		return fmt.Errorf("a password has 1 to %d bytes, and this one has %d", maxPasswordBytes, len(password))
	}
	lines, records, err := readFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	old, i := find(records, user)
	line, err := formatLine(user, password, old.claimsText, claims)
	if err != nil {
		return err
	}
	if i < 0 {
		return writeFile(path, append(lines, line))
	}
	lines[old.line] = line
	return writeFile(path, lines)
}

// Delete takes a user out of the file at path, as Set replaces it.
func Delete(path, user string) error {
	lines, records, err := readFile(path)
	if err != nil {
		return err
	}
	r, i := find(records, user)
	if i < 0 {
		return fmt.Errorf("delete %q from %s: %w", user, path, ErrNoUser)
	}
	return writeFile(path, slices.Delete(lines, r.line, r.line+1))
}

func find(records []record, user string) (record, int) {
	i := slices.IndexFunc(records, func(r record) bool { return r.user == user })
	if i < 0 {
		return record{}, i
	}
	return records[i], i
}

func formatLine(user, password, claimsText string, claims map[string]any) (string, error) {
	if claims != nil {
		text, err := json.Marshal(claims)
		if err != nil {
			return "", fmt.Errorf("claims of %q: %w", user, err)
		}
		claimsText = string(text)
	}
	line := user + ":" + newArgon2id([]byte(password)).String()
	if claimsText != "" && claimsText != "{}" {
		line += ":" + claimsText
	}
	return line, nil
}

// readFile returns the lines of a password file, and those of them that name users.
func readFile(path string) (lines []string, records []record, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, fmt.Errorf("password file: %w", err)
	}
	lines = splitFile(text)
	records, err = parseFile(path, lines)
	return lines, records, err
}

// writeFile replaces the file at path, or the one that a link there leads to.
func writeFile(path string, lines []string) error {
	var text bytes.Buffer
	for _, line := range lines {
		text.WriteString(strings.TrimSuffix(line, "\r") + "\n")
	}
	if err := folder.Replace(path, text.Bytes()); err != nil {
		return fmt.Errorf("password file: %w", err)
	}
	return nil
}
