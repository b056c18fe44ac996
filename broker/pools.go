package broker

import "github.com/outcry-mqtt/outcry/internal/websocket"

// bufferPools is the memory of a shard that is free for reuse.
type bufferPools struct {
	buffers   [][]byte // empty
	spare     int      // total capacity of buffers, in bytes
	backlogs  []*backlog
	inflaters []*websocket.Inflater
	copies    pinnedCopies
}

const (
	smallBuffer = 1 << 10
	largeBuffer = 64 << 10 // a larger outbox is written before the turn ends
	spareBytes  = 8 << 20  // limit of the buffers in a pool, in bytes
)

// buffer returns an empty buffer with a capacity of at least smallBuffer bytes.
func (p *bufferPools) buffer() []byte {
	if n := len(p.buffers); n > 0 {
		b := p.buffers[n-1]
		p.buffers = p.buffers[:n-1]
		p.spare -= cap(b)
		return b
	}
	return make([]byte, 0, smallBuffer)
}

// recycle takes back a buffer without other references.
func (p *bufferPools) recycle(b []byte) {
	if cap(b) >= smallBuffer && cap(b) <= 4*largeBuffer && p.spare+cap(b) <= spareBytes {
		p.spare += cap(b)
		p.buffers = append(p.buffers, b[:0])
	}
}
