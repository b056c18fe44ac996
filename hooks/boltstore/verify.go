package boltstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"go.etcd.io/bbolt"
)

// bbolt maps the file and follows the page numbers and offsets in it, so a damaged file can crash the process with an
// unrecoverable fault. Therefore the tree is first walked here, by reading.

// The layout of a bbolt page, in the machine's byte order: id 8, flags 2, count 2, overflow 4; then count elements of
// 16 bytes, with offsets relative to the element; then keys and values. A bucket's value: root 8, sequence 8, and, if
// the root is 0, an inline page.
const (
	pageHeader   = 16
	elementBytes = 16
	branchPage   = 0x01
	leafPage     = 0x02
	bucketLeaf   = 0x01
	maxDepth     = 64 // of pages and buckets; a tree of a billion keys has 5
)

// verifier walks the pages of a bbolt file.
type verifier struct {
	file     io.ReaderAt
	pageSize int
	high     uint64 // the first unused page number
	seen     []bool // by page number
	used     int64  // visited pages, and the two meta pages
	visit    func(used int64) error
	buf      []byte
}

// verify walks every page in tx, a transaction of h, and returns the number of used pages. visit, if not nil, is
// called with their number so far; its error ends the walk.
func verify(tx *bbolt.Tx, h *handle, visit func(used int64) error) (used int64, err error) {
	fileBytes, err := h.size()
	if err != nil {
		return 0, err
	}
	if tx.Size() > fileBytes {
		return 0, fmt.Errorf("the file has %d bytes of %d", fileBytes, tx.Size())
	}
	v := &verifier{file: h.file, pageSize: h.pageSize, high: uint64(tx.Size()) / uint64(h.pageSize), used: 2, visit: visit}
	v.seen = make([]bool, v.high)
	err = v.bucket(uint64(tx.Cursor().Bucket().RootPage()), 0)
	return v.used, err
}

func (v *verifier) bucket(root uint64, depth int) error {
	return v.tree(root, &keyRange{}, depth)
}

// keyRange is the range of the next key of a bucket: after last, from low on and below high.
type keyRange struct {
	last, low, high []byte // nil: no bound
}

func (r *keyRange) allows(key []byte) bool {
	return (r.last == nil || bytes.Compare(key, r.last) > 0) &&
		bytes.Compare(key, r.low) >= 0 &&
		(r.high == nil || bytes.Compare(key, r.high) < 0)
}

// tree walks a page and everything below it.
func (v *verifier) tree(id uint64, r *keyRange, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("page %d: too deep", id)
	}
	p, err := v.read(id)
	if err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	children, buckets, err := p.check(r)
	if err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	if err := v.children(id, children, r, depth); err != nil {
		return err
	}
	for _, root := range buckets {
		if err := v.bucket(root, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// children walks the pages below a branch. Each begins at its key and ends before the next one's.
func (v *verifier) children(id uint64, children []child, r *keyRange, depth int) error {
	for i, c := range children {
		if !r.allows(c.key) {
			return fmt.Errorf("page %d: child %d: out of order", id, i)
		}
		below := &keyRange{last: r.last, low: c.key, high: r.high}
		if i+1 < len(children) {
			below.high = children[i+1].key
		}
		if err := v.tree(c.page, below, depth+1); err != nil {
			return err
		}
		r.last = below.last
	}
	return nil
}

// read returns a page with its overflow, valid until the next call.
func (v *verifier) read(id uint64) (page, error) {
	if id < 2 || id >= v.high {
		return nil, fmt.Errorf("not among the %d pages", v.high)
	}
	v.buf = append(v.buf[:0], make([]byte, v.pageSize)...)
	if _, err := v.file.ReadAt(v.buf, int64(id)*int64(v.pageSize)); err != nil {
		return nil, err
	}
	p := page(v.buf)
	if got := binary.NativeEndian.Uint64(p); got != id {
		return nil, fmt.Errorf("says that it is page %d", got)
	}
	overflow := uint64(p.overflow())
	if overflow >= v.high-id {
		return nil, errors.New("overflows past the end")
	}
	for n := id; n <= id+overflow; n++ {
		if v.seen[n] {
			return nil, errors.New("in use twice")
		}
		v.seen[n] = true
	}
	v.used += int64(overflow) + 1
	if v.visit != nil {
		if err := v.visit(v.used); err != nil {
			return nil, err
		}
	}
	return v.readOverflow(id, int(overflow))
}

func (v *verifier) readOverflow(id uint64, overflow int) (page, error) {
	if overflow == 0 {
		return v.buf, nil
	}
	v.buf = append(v.buf, make([]byte, overflow*v.pageSize)...)
	_, err := v.file.ReadAt(v.buf[v.pageSize:], (int64(id)+1)*int64(v.pageSize))
	return v.buf, err
}

// page is the bytes of a page with its overflow.
type page []byte

func (p page) flags() uint16    { return binary.NativeEndian.Uint16(p[8:]) }
func (p page) count() int       { return int(binary.NativeEndian.Uint16(p[10:])) }
func (p page) overflow() uint32 { return binary.NativeEndian.Uint32(p[12:]) }

// child is an element of a branch.
type child struct {
	key  []byte
	page uint64
}

// check checks that the elements are within the page and the keys in order. It returns the pages and the roots of
// buckets that the elements name.
func (p page) check(r *keyRange) (children []child, buckets []uint64, err error) {
	if pageHeader+p.count()*elementBytes > len(p) {
		return nil, nil, fmt.Errorf("%d elements do not fit", p.count())
	}
	switch p.flags() {
	case branchPage:
		children, err = p.branch()
	case leafPage:
		buckets, err = p.leaf(r)
	default:
		err = fmt.Errorf("unknown kind 0x%x", p.flags())
	}
	return children, buckets, err
}

func (p page) branch() (children []child, err error) {
	if p.count() == 0 {
		return nil, errors.New("an empty branch")
	}
	for i := range p.count() {
		at := pageHeader + i*elementBytes
		e := p[at:]
		key, err := p.slice(at, binary.NativeEndian.Uint32(e), binary.NativeEndian.Uint32(e[4:]))
		if err != nil {
			return nil, fmt.Errorf("element %d: %w", i, err)
		}
		children = append(children, child{bytes.Clone(key), binary.NativeEndian.Uint64(e[8:])})
	}
	return children, nil
}

func (p page) leaf(r *keyRange) (buckets []uint64, err error) {
	for i := range p.count() {
		at := pageHeader + i*elementBytes
		e := p[at:]
		flags, pos := binary.NativeEndian.Uint32(e), binary.NativeEndian.Uint32(e[4:])
		keyLen, valueLen := binary.NativeEndian.Uint32(e[8:]), binary.NativeEndian.Uint32(e[12:])
		key, err := p.slice(at, pos, keyLen)
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i, err)
		}
		value, err := p.slice(at+int(keyLen), pos, valueLen)
		if err != nil {
			return nil, fmt.Errorf("value %d: %w", i, err)
		}
		if len(key) == 0 || !r.allows(key) {
			return nil, fmt.Errorf("key %d: out of order", i)
		}
		r.last = key
		if flags&bucketLeaf != 0 {
			root, err := bucketRoot(value)
			if err != nil {
				return nil, fmt.Errorf("bucket %q: %w", key, err)
			}
			if root != 0 {
				buckets = append(buckets, root)
			}
		}
	}
	r.last = bytes.Clone(r.last)
	return buckets, nil
}

// slice returns the n bytes at pos from the element at at.
func (p page) slice(at int, pos, n uint32) ([]byte, error) {
	start := uint64(at) + uint64(pos)
	if start+uint64(n) > uint64(len(p)) {
		return nil, fmt.Errorf("%d bytes at %d are outside of it", n, start)
	}
	return p[start : start+uint64(n)], nil
}

// bucketRoot returns the root page of a bucket, or 0 for an inline one, which it checks.
func bucketRoot(value []byte) (uint64, error) {
	if len(value) < 16 {
		return 0, fmt.Errorf("%d bytes are too few", len(value))
	}
	root := binary.NativeEndian.Uint64(value)
	if root != 0 {
		return root, nil
	}
	inline := page(value[16:])
	if len(inline) < pageHeader || inline.flags() != leafPage {
		return 0, errors.New("its page is not a leaf")
	}
	_, nested, err := inline.check(&keyRange{})
	if err == nil && len(nested) != 0 {
		err = errors.New("a bucket inside")
	}
	return 0, err
}
