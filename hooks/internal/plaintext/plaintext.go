// Package plaintext detects text files in another encoding than UTF-8. It never changes a text.
package plaintext

import (
	"bytes"
	"errors"
)

var (
	errUTF16 = errors.New("is UTF-16; save it as UTF-8")
	errMark  = errors.New("begins with a byte order mark; save it as UTF-8 without one")
	errNull  = errors.New("has null characters, so it is not text; is it damaged, or the wrong file?")
)

// Check returns an error that describes a wrong encoding.
func Check(text []byte) error {
	if err := CheckMark(text); err != nil {
		return err
	}
	if bytes.IndexByte(text, 0) >= 0 {
		return errNull
	}
	return nil
}

// CheckMark refuses a byte order mark in a file of arbitrary bytes. Random bytes may begin like a mark of UTF-16;
// real UTF-16 also contains null characters.
func CheckMark(text []byte) error {
	switch {
	case bytes.HasPrefix(text, []byte("\xef\xbb\xbf")):
		return errMark
	case isUTF16(text):
		return errUTF16
	}
	return nil
}

func isUTF16(text []byte) bool {
	marked := bytes.HasPrefix(text, []byte("\xff\xfe")) || bytes.HasPrefix(text, []byte("\xfe\xff"))
	return marked && len(text)%2 == 0 && bytes.Count(text, []byte{0}) >= len(text)/4
}
