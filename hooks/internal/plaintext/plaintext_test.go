package plaintext_test

import (
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/hooks/internal/plaintext"
)

func TestCheck(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"empty", "", ""},
		{"UTF-8", "grün\n", ""},
		{"a mark", "\xef\xbb\xbfa", "byte order mark"},
		{"a mark alone", "\xef\xbb\xbf", "byte order mark"},
		{"UTF-16, little endian", "\xff\xfea\x00b\x00", "UTF-16"},
		{"UTF-16, big endian", "\xfe\xff\x00a\x00b", "UTF-16"},
		{"nulls", "a\x00b", "null characters"},
		{"nothing but nulls", strings.Repeat("\x00", 40), "null characters"},
	} {
		err := plaintext.Check([]byte(tt.text))
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	if err := plaintext.CheckMark([]byte("\xff\xfe, and bytes of chance\x00")); err != nil {
		t.Errorf("a secret of any bytes: %v", err)
	}
}
