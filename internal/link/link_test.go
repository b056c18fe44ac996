package link_test

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/internal/link"
)

var (
	steps = flag.Int("link.steps", 200_000, "how many steps TestModel takes in all")
	seed  = flag.Uint64("link.seed", 1, "the first seed of TestModel; each world takes 2,000 steps")
)

const (
	worldSteps = 2_000
	window     = 512 << 10 // bytes that may wait for an acknowledgement
	largest    = 100 << 10 // bytes of an entry
)

// node is one end of two links: it sends to the other node, and receives from it.
type node struct {
	w           *world
	name        string
	incarnation uint64
	out         *link.Sender
	in          *link.Receiver

	stream   int    // how often the sender's stream began anew
	appended uint64 // entries of the stream
	held     int    // bytes that were received and not handled

	from, fromStream uint64 // incarnation and stream of the last entry received
	got              uint64 // entries of that stream
}

// world is two nodes and the network between them.
type world struct {
	r     *rand.Rand
	now   time.Time
	nodes [2]*node
	net   [2][][]byte // frames to each node
	cut   [2]bool     // the direction to each node loses all frames
	lives uint64
	err   error
}

func newWorld(seed uint64) *world {
	w := &world{r: rand.New(rand.NewPCG(seed, 7)), now: time.Unix(1_000_000, 0)}
	w.nodes = [2]*node{{w: w, name: "a"}, {w: w, name: "b"}}
	for i := range w.nodes {
		w.start(i)
	}
	return w
}

// start starts a node's next life, in which it knows nothing.
func (w *world) start(i int) {
	w.lives++
	n := w.nodes[i]
	*n = node{w: w, name: n.name, incarnation: w.lives}
	n.out = link.NewSender(n.incarnation, window, func(frame []byte) { w.transmit(1-i, frame) })
	n.in = link.NewReceiver(n.incarnation, link.ReceiverOptions{
		Room: 300 << 10, MaxEntry: largest, Busy: func() int { return n.held },
	}, n.receive)
}

func (w *world) transmit(to int, frame []byte) {
	if !w.cut[to] {
		w.net[to] = append(w.net[to], bytes.Clone(frame))
	}
}

func (w *world) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf(format, args...)
	}
}

// entry makes an entry that says where it belongs: life, stream, number, then bytes that follow from these.
func (n *node) entry(size int) []byte {
	b := binary.BigEndian.AppendUint64(nil, n.incarnation)
	b = binary.BigEndian.AppendUint64(b, uint64(n.stream))
	b = binary.BigEndian.AppendUint64(b, n.appended)
	for len(b) < 24+size {
		b = append(b, byte(uint64(len(b))*2654435761+n.appended))
	}
	return b
}

func (n *node) receive(entry []byte) {
	if len(entry) < 24 {
		n.w.fail("%s got an entry of %d bytes", n.name, len(entry))
		return
	}
	life, stream, number := binary.BigEndian.Uint64(entry), binary.BigEndian.Uint64(entry[8:]), binary.BigEndian.Uint64(entry[16:])
	if life != n.from || stream != n.fromStream {
		if life < n.from || life == n.from && stream < n.fromStream {
			n.w.fail("%s got an entry of an earlier stream", n.name)
		}
		n.from, n.fromStream, n.got = life, stream, 0
	}
	if n.got++; number != n.got {
		n.w.fail("%s got entry %d of life %d, stream %d, want %d", n.name, number, life, stream, n.got)
	}
	for i := 24; i < len(entry); i++ {
		if entry[i] != byte(uint64(i)*2654435761+number) {
			n.w.fail("%s got entry %d with another byte %d", n.name, number, i)
			return
		}
	}
	if n.w.r.IntN(4) == 0 {
		n.held += len(entry)
	}
}

// append appends an entry, if there is room for it.
func (n *node) append(size int) {
	if n.out.Room() < size+1000 {
		return
	}
	n.appended++
	n.out.Append(n.entry(size), n.w.now)
}

// take hands one of the first frames of the network to a node.
func (w *world) take(to int, first, copies int) {
	if len(w.net[to]) == 0 {
		return
	}
	i := w.r.IntN(min(first, len(w.net[to])))
	frame := w.net[to][i]
	w.net[to] = append(w.net[to][:i], w.net[to][i+1:]...)
	for range copies {
		w.hand(w.nodes[to], frame)
	}
}

func (w *world) hand(n *node, frame []byte) {
	if link.IsAck(frame) {
		anew, err := n.out.Acknowledge(frame, w.now)
		if err != nil {
			w.fail("%s: acknowledgement: %v", n.name, err)
		}
		if anew {
			n.stream, n.appended = n.stream+1, 0
		}
		return
	}
	if err := n.in.Receive(frame, func() { n.held = 0 }); err != nil {
		w.fail("%s: %v", n.name, err)
	}
}

func (w *world) answer(i int) {
	if n := w.nodes[i]; n.in.IsDue() {
		w.transmit(1-i, n.in.AppendAck(nil))
	}
}

// step does something at random.
func (w *world) step() {
	i := w.r.IntN(2)
	n := w.nodes[i]
	switch k := w.r.IntN(1000); {
	case k < 200:
		n.append(w.r.IntN(200))
	case k < 230:
		n.append(w.r.IntN(largest - 24))
	case k < 400:
		n.out.Flush(w.now)
	case k < 740:
		w.take(i, 1+w.r.IntN(3), 1)
	case k < 750:
		w.take(i, 1<<20, 1) // much later than its neighbours, or earlier
	case k < 780:
		w.take(i, 3, w.r.IntN(3)) // lost, or twice
	case k < 880:
		w.answer(i)
	case k < 940:
		w.now = w.now.Add(time.Duration(w.r.IntN(100)) * time.Millisecond)
		n.out.Tick(w.now)
	case k < 970:
		n.held = w.r.IntN(n.held + 1)
	case k < 985:
		w.cut[i] = w.r.IntN(3) == 0
	case k < 988:
		w.start(i)
	case k < 990:
		n.out.Restart(w.now)
		n.stream, n.appended = n.stream+1, 0
	}
	if n.out.Waiting() > window {
		w.fail("%s: %d bytes wait for an acknowledgement", n.name, n.out.Waiting())
	}
}

// rest heals the network and lets it come to rest: then everything has arrived.
func (w *world) rest() {
	w.cut = [2]bool{}
	for range 12 {
		for i, n := range w.nodes {
			n.held = 0
			n.out.Flush(w.now)
			n.out.Tick(w.now)
			for len(w.net[i]) > 0 {
				w.take(i, 1, 1)
				w.answer(i)
			}
			w.answer(i)
		}
		w.now = w.now.Add(link.ResendTime)
	}
	for i, n := range w.nodes {
		other := w.nodes[1-i]
		if n.out.Waiting() > 0 {
			w.fail("%s: %d bytes wait at rest", n.name, n.out.Waiting())
		}
		if n.appended > 0 && (other.from != n.incarnation || other.fromStream != uint64(n.stream) || other.got != n.appended) {
			w.fail("%s appended %d entries to stream %d; %s got %d of life %d, stream %d", n.name, n.appended, n.stream, other.name, other.got, other.from, other.fromStream)
		}
		if n.out.Room() < 250<<10 {
			w.fail("%s has room for %d bytes at rest", n.name, n.out.Room())
		}
	}
}

// TestModel lets two nodes send to each other over a network that loses, repeats, reorders and cuts, and start again. Entries of
// a stream arrive in order, once and whole, and all of them once the network works.
func TestModel(t *testing.T) {
	for s := *seed; s < *seed+uint64(*steps/worldSteps); s++ {
		w := newWorld(s)
		for range worldSteps {
			w.step()
			if w.err != nil {
				break
			}
		}
		if w.err == nil {
			w.rest()
		}
		if w.err != nil {
			t.Fatalf("seed %d (-link.seed=%[1]d -link.steps=%d): %v", s, worldSteps, w.err)
		}
	}
}
