package bench

import (
	"bytes"
	"math"
	"math/rand/v2"
	"net/url"
	"slices"
	"testing"
)

// receiving returns a subscriber on a connection without a socket, and the bytes of n messages.
func receiving(t testing.TB, n, payload int) (*worker, *conn, []byte) {
	t.Helper()
	o, err := Options{
		Scenario: Fanout, Subscribers: 1, Payload: payload, Prefix: "p", URL: &url.URL{Scheme: "mqtt"}, Window: 64, SubscribeQoS: -1,
	}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	r := &runner{opts: o, id: 7, filler: make([]byte, payload-headerSize)}
	w := &worker{run: r, opts: &r.opts, noted: map[string]error{}, opcode: opBinary}
	r.workers = []*worker{w}
	f := r.newFlow()
	f.till.Store(never)
	w.flow = f.shares[0]
	c := &conn{role: newSubscriber(f, f.shares[0], 0), state: up, fd: -1}
	return w, c, wire(f, n)
}

// wire encodes n messages of a flow.
func wire(f *flow, n int) (b []byte) {
	for i := range n {
		whole, remaining := publishLen(5, len(f.topics[0]), f.opts.Payload, 0)
		at := len(b)
		b = append(b, make([]byte, whole)...)
		payload := putPublish(b[at:], 5, f.topics[0], 0, false, 0, remaining)
		header{run: 7, number: uint32(i)}.put(payload)
	}
	return b
}

// Packets, and frames around them, may be split anywhere.
func TestCutsDoNotMatter(t *testing.T) {
	for _, payload := range []int{16, 64, 300, 70_000} {
		for _, framed := range []bool{false, true} {
			for _, cut := range []int{1, 2, 3, 7, 100, 1000, 1 << 20} {
				n := 200
				if payload > 1000 {
					n = 5
				}
				w, c, b := receiving(t, n, payload)
				if framed {
					c.frames = &unframer{}
					b = frames(b, 50+payload/3)
				}
				for len(b) > 0 {
					piece := b[:min(cut, len(b))]
					if err := w.take(c, bytes.Clone(piece)); err != nil {
						t.Fatal(err)
					}
					b = b[len(piece):]
				}
				if w.n.received != uint64(n) || w.n.foreign+w.n.reordered+w.n.duplicated > 0 {
					t.Errorf("payload %d, framed %v, cut %d: %+v", payload, framed, cut, w.n)
				}
			}
		}
	}
}

// frames encodes b like a server: messages of several frames of size bytes, and pings in between.
func frames(b []byte, size int) (out []byte) {
	op := byte(opBinary)
	for len(b) > 0 {
		piece := b[:min(size, len(b))]
		b = b[len(piece):]
		first := op
		if op = opContinue; len(b) == 0 || len(b)%3 == 0 {
			first |= 0x80
			op = opBinary
		}
		out = append(serverHeader(out, first, len(piece)), piece...)
		out = append(serverHeader(out, 0x80|opPing, 2), "hi"...)
	}
	return out
}

func serverHeader(b []byte, first byte, n int) []byte {
	switch {
	case n < 126:
		return append(b, first, byte(n))
	case n < 1<<16:
		return append(b, first, 126, byte(n>>8), byte(n))
	}
	return append(b, first, 127, 0, 0, 0, 0, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
}

func TestMask(t *testing.T) {
	for n := range 40 {
		b, want := bytes.Repeat([]byte{0x5a}, n), bytes.Repeat([]byte{0x5a}, n)
		const key = 0x04030201
		mask(b, key)
		for i := range want {
			want[i] ^= byte(i%4) + 1
		}
		if !bytes.Equal(b, want) {
			t.Errorf("%d bytes: %x, want %x", n, b, want)
		}
	}
}

func TestFramesThatAreWrong(t *testing.T) {
	for name, b := range map[string][]byte{
		"reserved bits":         {0xc2, 0},
		"masked":                {0x82, 0x80, 1, 2, 3, 4},
		"text":                  {0x81, 1, 'x'},
		"long control frame":    {0x89, 126, 0, 200},
		"cut control frame":     {0x09, 0},
		"unknown control frame": {0x8b, 0},
		"continues nothing":     {0x80, 1, 'x'},
		"begins anew":           {0x02, 1, 0x30, 0x82, 1, 'x'},
		"length of 2^63":        {0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w, c, _ := receiving(t, 0, 64)
			c.frames = &unframer{}
			if err := w.take(c, b); err == nil {
				t.Error("taken")
			}
		})
	}
}

func TestUpgradeAnswers(t *testing.T) {
	u := newUpgrade(&url.URL{Scheme: "ws", Host: "h", Path: "/mqtt"}, "mqtt")
	head := "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: "
	for _, tt := range []struct {
		name, answer string
		size         int
		fails        bool
	}{
		{"right", head + u.accept + "\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n\x82", len(head+u.accept) + 34, false},
		{"not complete", head, 0, false},
		{"another key", head + "x\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n", 0, true},
		{"no subprotocol", head + u.accept + "\r\n\r\n", 0, true},
		{"refused", "HTTP/1.1 403 Forbidden\r\n\r\n", 0, true},
		{"not HTTP", "SSH-2.0\r\n\r\n", 0, true},
		{"endless", string(make([]byte, maxUpgrade+1)), 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			size, err := u.answered([]byte(tt.answer))
			if size != tt.size || (err != nil) != tt.fails {
				t.Errorf("size %d, want %d; %v", size, tt.size, err)
			}
		})
	}
}

// No input from a broker panics.
func FuzzTake(f *testing.F) {
	addCorpus(f)
	w, _, b := receiving(f, 3, 64)
	f.Add(b, byte(up), false)
	f.Add(frames(b, 20), byte(up), true)
	f.Add([]byte{typeConnack, 9, 0, 0, 6, propReceiveMaximum, 0, 1, propServerKeepAlive, 0, 1}, byte(connecting), false)
	f.Add([]byte{typeSuback, 4, 0, 1, 0, 0x87}, byte(subscribing), false)
	f.Add([]byte{typePublish | 4, 7, 0, 1, 'a', 0, 9, 0, 'x', typePubrel, 2, 0, 9, typePingresp, 0}, byte(up), false)
	f.Add([]byte{typeDisconnect, 1, 0x8b}, byte(up), false)
	f.Add([]byte("HTTP/1.1 101 Switching Protocols\r\n\r\n"), byte(upgrading), true)
	w.run.upgrade = newUpgrade(&url.URL{Scheme: "ws", Host: "h", Path: "/mqtt"}, "mqtt")
	f.Fuzz(func(t *testing.T, b []byte, st byte, framed bool) {
		_, c, _ := receiving(t, 0, 64)
		c.state = upgrading + state(st)%(leaving-upgrading+1)
		if framed || c.state == upgrading {
			c.frames = &unframer{}
		}
		for len(b) > 0 && w.take(c, b[:(len(b)+1)/2]) == nil {
			b = b[(len(b)+1)/2:]
		}
		w.out = w.out[:0]
	})
}

func BenchmarkReceive(b *testing.B) {
	w, c, stretch := receiving(b, 800, 64)
	b.SetBytes(int64(len(stretch)))
	b.ReportAllocs()
	for b.Loop() {
		c.role.(*subscriber).trackers[0] = tracker{}
		if err := w.take(c, stretch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*800), "ns/message")
}

// No input from an adapter panics.
func FuzzListen(f *testing.F) {
	addCorpus(f)
	for _, text := range []string{"j", "m0123456789abcdef", `42["m","00000000000000000000000000000000"]`, "0{}", "40", "430[]", "2", `42["m",""]`} {
		f.Add([]byte(text), byte(up), false)
	}
	f.Fuzz(func(t *testing.T, b []byte, st byte, text bool) {
		w, c, _ := receiving(t, 0, 64)
		w.dialect = newDialect(Rooms)
		if text {
			w.dialect = newDialect(SocketIO)
		}
		c.state = upgrading + state(st)%(leaving-upgrading+1)
		c.frames = &unframer{text: text}
		_ = w.handleMessage(c, b)
	})
}

func TestTracker(t *testing.T) {
	for _, tt := range []struct {
		name            string
		numbers         []uint32
		late, duplicate int
	}{
		{"in order", []uint32{0, 1, 2, 3}, 0, 0},
		{"begins later", []uint32{5, 6}, 0, 0},
		{"gap", []uint32{0, 1, 5, 6}, 0, 0},
		{"swapped", []uint32{0, 2, 1, 3}, 1, 0},
		{"twice", []uint32{0, 1, 1, 2}, 0, 1},
		{"late, and again", []uint32{0, 3, 1, 1, 2}, 2, 1},
		{"first is late", []uint32{1, 0}, 1, 0},
		{"gap of the memory", []uint32{0, 32, 1}, 1, 0},
		{"beyond the memory", []uint32{0, 33, 1}, 0, 1},
		{"long gap, late", []uint32{0, 1000, 999, 1000}, 1, 1},
		{"everything again", []uint32{0, 1, 2, 0, 1, 2}, 0, 3},
		{"around the end", []uint32{math.MaxUint32 - 1, math.MaxUint32, 0, 1}, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := map[verdict]int{}
			tr := tracker{next: tt.numbers[0]}
			if tt.numbers[0] <= 5 {
				tr.next = 0
			}
			for _, n := range tt.numbers {
				got[tr.take(n)]++
			}
			if got[late] != tt.late || got[duplicate] != tt.duplicate {
				t.Errorf("%d late, %d duplicates; want %d, %d", got[late], got[duplicate], tt.late, tt.duplicate)
			}
		})
	}
}

func TestHeader(t *testing.T) {
	want := header{stamp: 1<<47 + 5, run: 65535, stream: 1 << 31, number: 7}
	b := make([]byte, headerSize)
	want.put(b)
	if got, ok := readHeader(b); !ok || got != want {
		t.Errorf("%+v, %v", got, ok)
	}
	if _, ok := readHeader(b[:headerSize-1]); ok {
		t.Error("read from too few bytes")
	}
}

func TestSet(t *testing.T) {
	var s set
	for _, tt := range []struct {
		number uint32
		fresh  bool
	}{{0, true}, {63, true}, {64, true}, {0, false}, {1000, true}, {64, false}, {65, true}} {
		if got := s.add(tt.number); got != tt.fresh {
			t.Errorf("%d is new: %v", tt.number, got)
		}
	}
}

// Quantiles are within 1 % of the exact ones.
func TestQuantiles(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for name, draw := range map[string]func() int64{
		"small":    func() int64 { return random.Int64N(100) },
		"even":     func() int64 { return random.Int64N(1_000_000_000) },
		"long":     func() int64 { return int64(math.Exp(random.Float64() * 40)) },
		"constant": func() int64 { return 123_456_789 },
	} {
		t.Run(name, func(t *testing.T) {
			h, half := &histogram{}, &histogram{}
			var all []int64
			for i := range 10_000 {
				v := draw()
				all = append(all, v)
				if i%2 == 0 {
					h.record(v)
				} else {
					half.record(v)
				}
			}
			h.add(half)
			slices.Sort(all)
			for _, q := range []float64{0, 0.5, 0.9, 0.99, 0.999, 1} {
				want := float64(all[max(int(math.Ceil(q*float64(len(all))))-1, 0)])
				if got := float64(h.quantile(q)); math.Abs(got-want) > want/100 {
					t.Errorf("quantile %v is %v, want %v", q, got, want)
				}
			}
			if h.count != 10_000 || h.max != uint64(all[len(all)-1]) || h.min != uint64(all[0]) {
				t.Errorf("count %d, %d to %d", h.count, h.min, h.max)
			}
		})
	}
}

func TestEveryValueHasABucket(t *testing.T) {
	for shift := range 64 {
		for _, v := range []uint64{1 << shift, 1<<shift - 1, 1<<shift + 1} {
			b := bucketOf(v)
			if b < 0 || b >= buckets || math.Abs(float64(middle(b))-float64(v)) > float64(v)/100 {
				t.Errorf("%d is in bucket %d, of %d", v, b, middle(b))
			}
		}
	}
}

func TestNothingIsAllocatedPerMessage(t *testing.T) {
	w, c, stretch := receiving(t, 1000, 64)
	var failed error
	allocations := testing.AllocsPerRun(20, func() {
		if err := w.take(c, stretch); err != nil {
			failed = err
		}
	})
	if failed != nil || allocations > 0 {
		t.Errorf("%v allocations for a thousand messages, %v", allocations, failed)
	}
}
