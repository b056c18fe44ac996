package denylist_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/hooks/denylist"
)

func TestParse(t *testing.T) {
	noon := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name, line string
		want       denylist.Entry // without a kind: no entry
	}{
		{"user", "user ann", denylist.Entry{Kind: denylist.User, Value: "ann"}},
		{"token", "token 7f3c-91", denylist.Entry{Kind: denylist.Token, Value: "7f3c-91"}},
		{"client", "client kiosk/7", denylist.Entry{Kind: denylist.Client, Value: "kiosk/7"}},
		{"until", "user ann until 2026-12-01T12:00:00Z", denylist.Entry{Kind: denylist.User, Value: "ann", Until: noon}},
		{"until with a zone", "user ann until 2026-12-01T13:00:00+01:00", denylist.Entry{Kind: denylist.User, Value: "ann", Until: noon}},
		{"note", "user ann # left  us", denylist.Entry{Kind: denylist.User, Value: "ann", Note: "left  us"}},
		{"both", "token a until 2026-12-01T12:00:00Z #stolen", denylist.Entry{Kind: denylist.Token, Value: "a", Until: noon, Note: "stolen"}},
		{"quotes", `user "ann lee" # x`, denylist.Entry{Kind: denylist.User, Value: "ann lee", Note: "x"}},
		{"quotes that need not be", `user "ann"`, denylist.Entry{Kind: denylist.User, Value: "ann"}},
		{"a quote inside", `client "a\"b"`, denylist.Entry{Kind: denylist.Client, Value: `a"b`}},
		{"the word until", `user until`, denylist.Entry{Kind: denylist.User, Value: "until"}},
		{"a name with #", `user a#b`, denylist.Entry{Kind: denylist.User, Value: "a#b"}},
		{"spaces", " \tuser \t ann \t", denylist.Entry{Kind: denylist.User, Value: "ann"}},
		{"carriage return", "user ann\r", denylist.Entry{Kind: denylist.User, Value: "ann"}},
		{"other letters", "user анна", denylist.Entry{Kind: denylist.User, Value: "анна"}},
		{"blank", " \t", denylist.Entry{}},
		{"comment", "# user ann", denylist.Entry{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := denylist.Parse("deny", []byte(tt.line))
			if err != nil {
				t.Fatal(err)
			}
			if tt.want.Kind == "" {
				if len(got) > 0 {
					t.Errorf("%+v, want nothing", got)
				}
				return
			}
			if len(got) == 1 {
				got[0].Until = got[0].Until.UTC()
			}
			if !reflect.DeepEqual(got, []denylist.Entry{tt.want}) {
				t.Errorf("%+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestParseErrors(t *testing.T) {
	for _, tt := range []struct{ name, line, want string }{
		{"unknown kind", "users ann", `"users" is not a kind of entry; write user, token or client`},
		{"upper case", "User ann", `"User" is not a kind`},
		{"no value", "user", "is not a value"},
		{"a note for a value", "user # ann", "is not a value"},
		{"an empty value", `user ""`, "the value is empty"},
		{"a value more", "user ann lee", `unexpected "lee"; write user VALUE`},
		{"quotes open", `user "ann`, "the value has unmatched quotes"},
		{"quotes glued", `user "ann"x`, "a space is missing"},
		{"quotes inside", `user an"n`, "write it in double quotes"},
		{"null character", `user "a\x00"`, "null character"},
		{"not UTF-8 in quotes", `user "a\xff"`, "not UTF-8"},
		{"not UTF-8", "user a\xff", "the line is not UTF-8"},
		{"until without time", "user ann until", `"" is not a time`},
		{"until a date", "user ann until 2026-12-01", `"2026-12-01" is not a time; write one such as`},
		{"more behind the time", "user ann until 2026-12-01T12:00:00Z x", `unexpected "x"`},
		{"twice", "client first", `client "first" is already in line 1`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := denylist.Parse("deny", []byte("client first\n"+tt.line+"\n"))
			var bad *denylist.FileError
			if !errors.As(err, &bad) || len(bad.Problems) != 1 {
				t.Fatalf("%v, %v", got, err)
			}
			if text := err.Error(); !strings.HasPrefix(text, "deny:2: ") || !strings.Contains(text, tt.want) {
				t.Errorf("%s\nwant %s", text, tt.want)
			}
		})
	}
}

func TestEveryErrorIsTold(t *testing.T) {
	_, err := denylist.Parse("deny", []byte("usr a\nuser b\n\ntoken\nuser b"))
	if want := "deny:1: "; err == nil || !strings.HasPrefix(err.Error(), want) || strings.Count(err.Error(), "\n") != 2 ||
		!strings.Contains(err.Error(), "\ndeny:4: ") || !strings.Contains(err.Error(), "\ndeny:5: ") {
		t.Errorf("%v", err)
	}
}

// Every parsed entry can be written and parsed again.
func FuzzParse(f *testing.F) {
	addCorpus(f)
	for _, seed := range []string{
		"user ann", `client "a b" until 2026-12-01T12:00:00Z # why`, "# x\n\ntoken 1\r\n", `user "\x00"`, "user \"a\u2028b\"",
		"token a until 9999-12-31T23:59:59.5+14:00 #", "user ann #  #", `user "#"`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		entries, err := denylist.Parse("deny", text)
		if err != nil {
			return
		}
		var again strings.Builder
		for _, e := range entries {
			again.WriteString(e.String() + "\n")
		}
		back, err := denylist.Parse("again", []byte(again.String()))
		if err != nil || len(back) != len(entries) {
			t.Fatalf("%q: %v, %d of %d entries", again.String(), err, len(back), len(entries))
		}
		for i, e := range entries {
			if b := back[i]; b.Kind != e.Kind || b.Value != e.Value || b.Note != e.Note || !b.Until.Equal(e.Until.Truncate(time.Second)) {
				t.Errorf("%+v became %+v", e, b)
			}
		}
	})
}

// A file in another encoding would deny nobody.
func TestFilesOfOtherEncodings(t *testing.T) {
	for text, want := range map[string]string{
		"\xef\xbb\xbfuser ann\n":       "byte order mark",
		"\xff\xfeu\x00s\x00e\x00r\x00": "UTF-16",
		"\x00\x00\x00\x00":             "null characters",
	} {
		if _, err := denylist.Parse("deny", []byte(text)); err == nil || !strings.HasPrefix(err.Error(), "deny:1: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}
