package attacks_test

import (
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// claim returns the header of a packet of 256 MB, the maximum remaining length.
func claim(header byte) string { return string(header) + "\xff\xff\xff\x7f" }

// hugeFrame is the header of a WebSocket frame of 2^62 bytes, with a zero mask.
const hugeFrame = "\x82\xff\x40\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

var hello = string(raw.Connect{Version: raw.V5, Clean: true}.Bytes())

// A thousand connections that announce a packet of 256 MB are closed at the header. A thousand that announce an
// allowed size cost only the bytes that they send.
func TestClaimsOf256MB(t *testing.T) {
	const each, perClaim = 1000, 64 << 10
	s := serve(t)
	ws := s.honestClients(5, "", "tcp", "ws")
	before := s.memory("VmRSS")
	for _, k := range []struct {
		name, listener, text string
		framed               []byte // after an upgrade
		closed               bool
	}{
		{"before CONNECT", "tcp", claim(0x10), nil, true},
		{"before CONNECT, as another packet", "tcp", claim(0x32), nil, true},
		{"after CONNECT", "tcp", hello + claim(0x32), nil, true},
		{"after CONNECT, what is allowed", "tcp", hello + "\x32\xf0\xff\x7f" + strings.Repeat("x", 1000), nil, false},
		{"before CONNECT, in a frame", "ws", upgrade, []byte(hugeFrame + claim(0x10)), true},
		{"after CONNECT, in a frame", "ws", upgrade, []byte(hugeFrame + hello + claim(0x32)), true},
		{"after CONNECT, what is allowed, in a frame", "ws", upgrade, []byte(hugeFrame + hello + "\x32\xf0\xff\x7fxxx"), false},
	} {
		t.Run(k.name, func(t *testing.T) {
			attack := newRawConns(t)
			attack.connect(each, s.Address(k.listener), k.text, "")
			if k.framed != nil {
				attack.wantAnswers(each, "101")
				attack.write(k.framed)
			}
			if k.closed {
				attack.wantAllClosed()
				return
			}
			s.wantClients(each + len(ws.all))
			s.newcomers(2, "", "tcp", "ws")
			attack.leave()
			s.wantClients(len(ws.all))
		})
	}
	ws.finish()
	s.wantGrowth(before, each*perClaim)
}
