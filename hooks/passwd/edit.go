package passwd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/outcry-mqtt/outcry/hooks/internal/folder"
	"github.com/outcry-mqtt/outcry/hooks/internal/plaintext"
)

// maxPasswordBytes is the maximum length of an MQTT password [MQTT-3.1.3.6].
const maxPasswordBytes = 65535

// maxFileBytes bounds a password file: some 500,000 users.
const maxFileBytes = 64 << 20

// ErrNoUser is Delete's error if the file lacks the user.
var ErrNoUser = errors.New("no such user")

// Entry describes a user of a password file.
type Entry struct {
	User   string
	Scheme string         // "argon2id" or "bcrypt"
	Claims map[string]any // nil if absent
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

// Set sets a user's password, and creates a missing user or file. It replaces the claims unless they are nil. The
// file is replaced atomically: a crash leaves the old or the new one. A new file is readable by its owner only, an
// existing one keeps its mode. Of two concurrent edits, the later wins.
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

// Delete removes a user from the file at path, atomically like Set.
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

// readFile returns the lines of a password file, and the records among them.
func readFile(path string) (lines []string, records []record, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("password file: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, nil, fmt.Errorf("password file: %w", err)
	}
	if len(text) > maxFileBytes {
		return nil, nil, fmt.Errorf("password file %s: it is larger than %d MiB", path, maxFileBytes>>20)
	}
	if err := plaintext.Check(text); err != nil {
		return nil, nil, &FileError{path, []Problem{{1, 1, "the file " + err.Error()}}}
	}
	lines = splitFile(text)
	records, err = parseFile(path, lines)
	return lines, records, err
}

// writeFile replaces the file at path, or the target of a link there.
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
