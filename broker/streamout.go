package broker

import "io"

// outgo holds the bytes that a stream has accepted, in order: small parts are copied into one piece, immutable ones are referenced.
type outgo struct {
	pieces []piece
	bytes  int
}

// add appends bytes.
func (o *outgo) add(b []byte, shared bool) {
	if len(b) == 0 {
		return
	}
	o.bytes += len(b)
	if shared {
		o.pieces = append(o.pieces, piece{data: b, shared: true})
		return
	}
	if n := len(o.pieces); n == 0 || o.pieces[n-1].shared {
		o.pieces = append(o.pieces, piece{})
	}
	last := &o.pieces[len(o.pieces)-1]
	last.data = append(last.data, b...)
}

// writeTo writes all bytes, which empties o. It keeps a small buffer for reuse.
func (o *outgo) writeTo(w io.Writer) error {
	for i := range o.pieces {
		p := &o.pieces[i]
		if _, err := w.Write(p.data); err != nil {
			return err
		}
		if i > 0 || p.shared || cap(p.data) > largeBuffer {
			*p = piece{}
		}
	}
	o.bytes = 0
	if len(o.pieces) > 0 {
		o.pieces = o.pieces[:1]
		o.pieces[0].data = o.pieces[0].data[:0]
	}
	return nil
}
