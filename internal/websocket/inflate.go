package websocket

import (
	"bytes"
	"errors"
	"io"

	"github.com/klauspost/compress/flate"
)

// Tail is appended to a compressed message before it is inflated. It is the end of an empty stored block, omitted by the peer
// (RFC 7692 7.2.2), and an empty final block, so that the end is not mistaken for truncation.
const Tail = "\x00\x00\xFF\xFF\x01\x00\x00\xFF\xFF"

// inflateFeed is the number of compressed bytes that may come without any output.
const inflateFeed = 64 << 10

// errStingy means that a compressed message has many empty blocks.
var errStingy = errors.New("many compressed bytes without any output")

// Inflater inflates messages, one after another.
type Inflater struct {
	src   source
	flate io.ReadCloser
}

// source is compressed bytes. It fails after left bytes without output.
type source struct {
	bytes.Reader
	left int
}

func (r *source) ReadByte() (byte, error) {
	if r.left--; r.left < 0 {
		return 0, errStingy
	}
	return r.Reader.ReadByte()
}

// Begin starts with a message, which ends with Tail. The inflater refers to it until the next Begin or Forget.
func (f *Inflater) Begin(message []byte) {
	f.src.Reader.Reset(message)
	if f.flate == nil {
		f.flate = flate.NewReader(&f.src)
		return
	}
	f.next()
}

// next restarts with the remaining input.
func (f *Inflater) next() { _ = f.flate.(flate.Resetter).Reset(&f.src, nil) }

// Read inflates into b. taken is the number of compressed bytes consumed. err is io.EOF at the end of the message, and another
// error if it is ill-formed or 64 KiB of it have no output.
func (f *Inflater) Read(b []byte) (n, taken int, err error) {
	before := f.src.Len()
	f.src.left = inflateFeed
	n, err = f.flate.Read(b)
	taken = before - f.src.Len()
	if err == io.EOF && f.src.Len() > 0 {
		f.next() // a message may continue after a final block (RFC 7692 7.2.3.4)
		err = nil
	}
	return n, taken, err
}

// Forget drops the reference to the message.
func (f *Inflater) Forget() { f.src.Reader.Reset(nil) }
