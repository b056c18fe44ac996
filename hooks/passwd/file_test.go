package passwd_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/hooks/passwd"
)

func TestFileErrors(t *testing.T) {
	argon := func(parameters string) string {
		return "ann:$argon2id$v=19$" + parameters + "$c29tZXNhbHQ$MEVaC3Buk/M2VALQU0tIDA"
	}
	bcrypt := bcryptHash(t, "x", "2b")
	long := strings.Repeat("A", 500)
	cases := []struct {
		name, line string
		want       string // message behind path:2:
	}{
		{"no colon", "ann", "1: there is no colon; a line is user:hash or user:hash:{claims}"},
		{"no user", ":" + argonHash, "1: the user's name is empty"},
		{"space before the user", " ann:" + argonHash, `1: the user's name " ann" begins with # or a space, or ends with a space`},
		{"space behind the user", "ann :" + argonHash, `1: the user's name "ann " begins with # or a space, or ends with a space`},
		{"control character", "a\x01n:" + argonHash, "1: the user's name has a control character, or is not UTF-8"},
		{"not UTF-8", "a\xffn:" + argonHash, "1: the user's name has a control character, or is not UTF-8"},
		{"user twice", "first:" + argonHash, `1: the user "first" is already in line 1; delete one of the two`},
		{"no hash", "ann:", "5: there is no hash; set a password with outcry passwd"},
		{"plain password", "ann:secret", "5: the hash is neither argon2id ($argon2id$…) nor bcrypt ($2b$…); set the password again with outcry passwd"},
		{"argon2i", "ann:" + strings.Replace(argonHash, "argon2id", "argon2i", 1), "5: the hash is neither"},
		{"broken bcrypt 2x", "ann:$2x" + bcrypt[3:], "5: the hash is neither"},
		{"old bcrypt 2", "ann:$2$" + bcrypt[4:], "5: the hash is neither"},
		{"argon2id of another version", "ann:" + strings.Replace(argonHash, "v=19", "v=16", 1), "5: the argon2id hash is not written as $argon2id$v=19$m=…,t=…,p=…$salt$hash"},
		{"argon2id without version", "ann:$argon2id$m=64,t=1,p=1$c29tZXNhbHQ$MEVaC3Buk/M2VALQU0tIDA", "5: the argon2id hash is not written"},
		{"argon2id with a part more", "ann:" + argonHash + "$x", "5: the argon2id hash is not written"},
		{"two parameters", argon("m=64,t=1"), "5: the argon2id hash does not have the parameters m=…,t=…,p=…"},
		{"parameters in another order", argon("t=1,m=64,p=1"), `5: argon2id parameter "t=1": it must be m=N with N from 1 to 262144`},
		{"memory zero", argon("m=0,t=1,p=1"), `5: argon2id parameter "m=0": it must be m=N`},
		{"memory over the limit", argon("m=262145,t=1,p=1"), `5: argon2id parameter "m=262145": it must be m=N with N from 1 to 262144`},
		{"memory of 4 TiB", argon("m=4294967295,t=1,p=1"), `5: argon2id parameter "m=4294967295"`},
		{"memory that wraps", argon("m=4294967360,t=1,p=1"), `5: argon2id parameter "m=4294967360"`},
		{"memory negative", argon("m=-64,t=1,p=1"), `5: argon2id parameter "m=-64"`},
		{"passes zero", argon("m=64,t=0,p=1"), `5: argon2id parameter "t=0": it must be t=N with N from 1 to 16`},
		{"passes over the limit", argon("m=64,t=17,p=1"), `5: argon2id parameter "t=17"`},
		{"lanes zero", argon("m=64,t=1,p=0"), `5: argon2id parameter "p=0": it must be p=N with N from 1 to 16`},
		{"lanes over a byte", argon("m=64,t=1,p=257"), `5: argon2id parameter "p=257"`},
		{"too slow", argon("m=262144,t=3,p=1"), `5: argon2id parameters "m=262144,t=3,p=1": m times t is more than 524288, too slow to verify`},
		{"salt short", "ann:$argon2id$v=19$m=64,t=1,p=1$c2FsdA$MEVaC3Buk/M2VALQU0tIDA", "5: the salt of the argon2id hash is shorter than 8 bytes"},
		{"salt long", "ann:$argon2id$v=19$m=64,t=1,p=1$" + long + "$MEVaC3Buk/M2VALQU0tIDA", "5: the salt of the argon2id hash is longer than 64 bytes"},
		{"salt padded", "ann:$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ=$MEVaC3Buk/M2VALQU0tIDA", "5: the salt of the argon2id hash is not base64 without padding"},
		{"hash empty", "ann:$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$", "5: the last part of the argon2id hash is shorter than 16 bytes"},
		{"hash long", "ann:$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$" + long, "5: the last part of the argon2id hash is longer than 64 bytes"},
		{"bcrypt cut", "ann:" + bcrypt[:59], "5: the bcrypt hash is truncated or changed; set the password again with outcry passwd"},
		{"bcrypt with more", "ann:" + bcrypt + "x", "5: the bcrypt hash is truncated or changed"},
		{"bcrypt with a space", "ann:" + bcrypt[:59] + " ", "5: the bcrypt hash is truncated or changed"},
		{"bcrypt without cost", "ann:$2b$xx" + bcrypt[6:], "5: the bcrypt hash is truncated or changed"},
		{"bcrypt too slow", "ann:$2b$31" + bcrypt[6:], "5: bcrypt cost 31 is too slow to verify; the most is 14"},
		{"claims empty", "ann:" + bcrypt + ":", `66: the claims are not a JSON object such as {"rooms":["lobby"]}`},
		{"claims not JSON", "ann:" + bcrypt + `:{"rooms":[lobby]}`, "76: the claims are not JSON: invalid character 'l' looking for beginning of value"},
		{"claims a list", "ann:" + bcrypt + `:[1]`, `66: the claims are not a JSON object such as {"rooms":["lobby"]}`},
		{"claims null", "ann:" + bcrypt + `:null`, `66: the claims are not a JSON object`},
		{"claims cut", "ann:" + bcrypt + `:{"a":1`, `66: the claims are not a JSON object`},
		{"something behind the claims", "ann:" + bcrypt + `:{"a":1} x`, "74: there is something after the claims"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			path := file(t, "first:"+argonHash, c.line)
			a, err := passwd.New(passwd.Options{Path: path})
			if a != nil || err == nil || !strings.HasPrefix(err.Error(), path+":2:"+c.want) {
				t.Errorf("got  %v\nwant %s:2:%s", err, path, c.want)
			}
			if err != nil && strings.Contains(err.Error(), argonHash[30:]) {
				t.Error("the error shows a hash")
			}
		})
	}
}

func TestAllFileErrorsAtOnce(t *testing.T) {
	_, err := passwd.New(passwd.Options{Path: file(t, "# fine", "ann", "", "bob:"+argonHash, "bob:"+argonHash, "eve:x")})
	bad, ok := errors.AsType[*passwd.FileError](err)
	if !ok || len(bad.Problems) != 3 {
		t.Fatalf("got %v", err)
	}
	for i, want := range [][2]int{{2, 1}, {5, 1}, {6, 5}} {
		if p := bad.Problems[i]; p.Line != want[0] || p.Column != want[1] {
			t.Errorf("problem %d is at %d:%d, want %v: %s", i, p.Line, p.Column, want, p.Message)
		}
	}
}

func TestNoFile(t *testing.T) {
	if _, err := passwd.New(passwd.Options{Path: "/nowhere/passwd"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// FuzzFile checks that an edit of an accepted file leaves other users unchanged.
func FuzzFile(f *testing.F) {
	addCorpus(f)
	f.Add("ann:"+argonHash, "bob")
	f.Add("# c\n\nann:"+argonShortHash+":{\"a\":[1,{}]}\r\nbob:"+bcryptHash(f, "x", "2b"), "ann")
	f.Add("ann:$argon2id$v=19$m=1,t=1,p=1$c29tZXNhbHQ$MEVaC3Buk/M2VALQU0tIDA:{}", "x:y")
	f.Fuzz(func(t *testing.T, text, user string) {
		path := filepath.Join(t.TempDir(), "passwd")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		before, err := passwd.List(path)
		if err != nil {
			return
		}
		if _, err := passwd.New(passwd.Options{Path: path}); err != nil {
			t.Fatalf("List reads what New does not: %v", err)
		}
		if err := passwd.Delete(path, user); err != nil && !errors.Is(err, passwd.ErrNoUser) {
			t.Fatal(err)
		}
		after, err := passwd.List(path)
		if err != nil {
			t.Fatalf("after Delete: %v", err)
		}
		for _, entry := range before {
			if entry.User != user && !has(after, entry.User) {
				t.Errorf("%q is gone", entry.User)
			}
		}
		if has(after, user) {
			t.Errorf("%q is still there", user)
		}
	})
}

func has(entries []passwd.Entry, user string) bool {
	for _, e := range entries {
		if e.User == user {
			return true
		}
	}
	return false
}

// A file in another encoding, or a binary file, is refused as a whole: otherwise its first user would be lost.
func TestFilesOfOtherEncodings(t *testing.T) {
	line := "ann:" + argonHash
	for _, tt := range []struct{ name, text, want string }{
		{"a byte order mark", "\xef\xbb\xbf" + line, "byte order mark"},
		{"a byte order mark before a comment", "\xef\xbb\xbf# users\n" + line, "byte order mark"},
		{"UTF-16", "\xff\xfe" + strings.Join(strings.Split(line, ""), "\x00") + "\x00", "UTF-16"},
		{"zeros", strings.Repeat("\x00", 100), "null characters"},
		{"a zero behind it", line + "\n\x00", "null characters"},
		{"a replacement character", "a\ufffdn:" + argonHash, "replacement character"},
	} {
		path := filepath.Join(t.TempDir(), "passwd")
		if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := passwd.New(passwd.Options{Path: path}); err == nil || !strings.HasPrefix(err.Error(), path+":1:1: ") || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
		if err := passwd.Set(path, "bob", "long enough", nil); err == nil {
			t.Errorf("%s: it can be edited", tt.name)
		}
	}
}
