package broker_test

import (
	"fmt"
	"net"
	"syscall"
	"testing"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// narrow opens a connection whose own kernel keeps little, as behind a slow line, so that what is not read is the broker's.
func (s *server) narrow(addr string) net.Conn {
	s.t.Helper()
	d := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		_ = raw.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4<<10) })
		return err
	}}
	conn, err := d.Dial("tcp", addr)
	if err != nil {
		s.t.Fatal(err)
	}
	return conn
}

// What was sent to a slow reader of tickers and can no longer be replaced is little, whatever its socket would hold.
func TestSlowReaderOfATickerIsNotSentMuchAhead(t *testing.T) {
	t.Parallel()
	const most = 32 << 10 // bytes; a socket of loopback takes megabytes
	for _, framed := range []bool{false, true} {
		for _, retain := range []bool{false, true} {
			t.Run(fmt.Sprintf("framed %v, retained %v", framed, retain), func(t *testing.T) {
				t.Parallel()
				s := start(t, broker.Options{Hooks: []any{policy(broker.Conflate)}})
				p := s.connect(raw.Connect{Version: raw.V311, ID: "publisher", Clean: true})
				subscribe := raw.Subscribe{ID: 1, Filters: []raw.Filter{{Name: "ticker/#"}}}.Bytes(raw.V311)
				var slow *raw.Client
				if framed {
					slow = raw.New(t, raw.NewFrames(s.narrow(s.framed)), raw.V311)
				} else {
					slow = raw.New(t, s.narrow(s.tcp), raw.V311)
				}
				slow.Connect(raw.Connect{Version: raw.V311, ID: "slow", Clean: true})
				const tickers, last = 1000, 30
				publish := func(round, atOnce int) {
					for sym := 0; sym < tickers; {
						var all []byte
						for range atOnce {
							m := tick(sym, round)
							m.Retain = retain
							all = append(all, m.Bytes(p.Version)...)
							sym++
						}
						p.Send(append(all, raw.Plain(raw.PINGREQ)...))
						p.Expect(raw.PINGRESP)
						s.Stats() // answered when the subscriber's shard has them, too
					}
				}
				if retain { // the snapshot that a subscription begins with
					publish(0, tickers)
				}
				slow.Send(subscribe)
				slow.ExpectAck(raw.SUBACK, 1)
				s.eventually("subscribed", func(st broker.Stats) bool { return st.Subscriptions == 1 })
				publish(1, 20) // what comes at once before its socket was ever full is written at once
				for round := 2; round <= last; round++ {
					publish(round, tickers)
				}
				s.eventually("parked", func(st broker.Stats) bool { return st.Parked == 1 })
				old, newest := 0, 0
				for newest < tickers {
					if got := slow.Expect(raw.PUBLISH); roundOf(t, got) < last {
						old += len(got.Payload)
					} else {
						newest++
					}
				}
				if old > most {
					t.Errorf("%d bytes of old values came, want %d at most", old, most)
				}
			})
		}
	}
}
