package attacks_test

import (
	"bytes"
	"testing"

	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// Hundreds of WebSockets with valid but useless frames cost some KiB each, and affect nobody else. Invalid frames are
// in the tests of conformance.
func TestFloodsOfFrames(t *testing.T) {
	t.Parallel() // in parallel with tests that do not measure delays
	const each, perConnection = 200, 512 << 10
	s := serve(t)
	ws := s.honestClients(5, "", "tcp", "ws")
	before, heap := s.memory("VmRSS"), s.heap()
	for _, k := range []struct {
		name         string
		begin, again []byte
	}{
		{"pings whose answers are not read", nil, raw.Frame(raw.OpPing, true, make([]byte, 125))},
		{"pongs that nobody asked for", nil, raw.Frame(raw.OpPong, true, make([]byte, 125))},
		{"empty frames", nil, raw.Frame(raw.OpBinary, true, nil)},
		{"a message that never ends, of empty fragments", raw.Frame(raw.OpBinary, false, nil), raw.Frame(raw.OpContinuation, false, nil)},
		{"the same with pings between", raw.Frame(raw.OpBinary, false, nil),
			append(raw.Frame(raw.OpContinuation, false, nil), raw.Frame(raw.OpPing, true, nil)...)},
		{"a byte of PINGREQ in each fragment", raw.Frame(raw.OpBinary, false, nil),
			append(raw.Frame(raw.OpContinuation, false, []byte{0xC0}), raw.Frame(raw.OpContinuation, false, []byte{0})...)},
	} {
		t.Run(k.name, func(t *testing.T) {
			attack := newRawConns(t)
			attack.connect(each, s.Address("ws"), upgrade, "")
			attack.wantAnswers(each, "101")
			attack.write(append(raw.Frame(raw.OpBinary, true, []byte(hello)), k.begin...))
			s.wantClients(each + len(ws.all))
			attack.flood(bytes.Repeat(k.again, 8<<10/len(k.again)))
			s.newcomers(2, "", "tcp", "ws")
			attack.leave()
			s.wantClients(len(ws.all))
		})
	}
	ws.finish()
	s.wantGrowth(before, each*perConnection)
	s.wantHeapBack(heap, 32<<20)
}
