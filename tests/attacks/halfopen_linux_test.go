package attacks_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// upgrade is a complete request for a WebSocket.
const upgrade = "GET /mqtt HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"

const upgradedPercent = 15 // percent

// halfOpen are ways to leave a connection half open, each with its share in percent.
var halfOpen = []struct {
	name       string
	percent    int
	listener   string
	text, drip string
}{
	{"silent", 25, "tcp", "", ""},
	{"CONNECT, a byte a second", 15, "tcp", "", longConnectPacket},
	{"half an upgrade, a byte a second", 15, "ws", upgrade[:60], upgrade[60:]},
	{"an upgrade and no CONNECT", upgradedPercent, "ws", upgrade, ""},
	{"half a ClientHello", 15, "wss", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", ""},
	{"half a header of the PROXY protocol", 15, "tls", "PROXY TCP4 192.0.2.1 ", ""},
}

// longConnectPacket takes minutes to send, a byte at a time.
var longConnectPacket = string(raw.Connect{Version: raw.V5, ID: string(make([]byte, 200)), Clean: true}.Bytes())

// connectionCount returns the number of an attacker's connections: 10,000, or fewer with a lower limit of open files.
func connectionCount(t *testing.T) int {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	const most, others = 10_000, 500
	if limit.Max >= most+others {
		return most
	}
	n := int(limit.Max) - others
	if n < 100 {
		t.Skipf("only %d files may be open (ulimit -n)", limit.Max)
	}
	t.Logf("only %d files may be open (ulimit -n): %d connections instead of %d", limit.Max, n, most)
	return n
}

// Ten thousand half-open connections get ten seconds each and a few KiB. Connected clients lose nothing, and new ones
// can connect.
func TestTenThousandHalfOpen(t *testing.T) {
	t.Parallel() // in parallel with tests that do not measure delays
	const perStranger = 20 << 10
	n := connectionCount(t)
	cert, key := certificate(t)
	s := serve(t, set(
		"listeners.tls.address=127.0.0.1:0", "listeners.tls.certificate.file="+cert, "listeners.tls.certificate.key="+key,
		"listeners.tls.proxy_protocol=[127.0.0.0/8]",
		"listeners.wss.address=127.0.0.1:0", "listeners.wss.certificate.file="+cert, "listeners.wss.certificate.key="+key,
	)...)
	ws := s.honestClients(10, "", "tcp", "ws")
	s.newcomers(5, "", "tcp", "ws")
	before, heap, goroutines := s.memory("VmRSS"), s.heap(), s.metric("go_goroutines ")

	attack, began := newRawConns(t), time.Now()
	for _, h := range halfOpen {
		attack.connect(n*h.percent/100, s.Address(h.listener), h.text, h.drip)
	}
	attack.wantAnswers(n*upgradedPercent/100, "101")
	t.Logf("%d connections after %v", len(attack.open), time.Since(began).Round(time.Millisecond))
	s.newcomers(20, "", "tcp", "ws")
	attack.wantAllClosed()
	s.newcomers(5, "", "tcp", "ws")
	ws.finish()

	s.wantGrowth(before, int64(n)*perStranger)
	eventually(t, "no goroutine is left", func() bool { return s.metric("go_goroutines ") < goroutines+20 })
	s.wantHeapBack(heap, 16<<20)
}
