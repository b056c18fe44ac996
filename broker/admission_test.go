package broker_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// Everybody is cut off and comes back at once: all get in, and one who is there is answered all the time.
func TestStormOfReconnects(t *testing.T) {
	s := start(t, broker.Options{})
	settled := s.connect(raw.Connect{Version: raw.V5, ID: "settled", Clean: true})
	const clients = 2000
	for round := range 2 {
		conns := make([]net.Conn, clients)
		for i := range conns {
			conns[i] = s.conn(s.tcp)
			_, _ = conns[i].Write(raw.Connect{Version: raw.V311, ID: fmt.Sprint("c", i), Clean: true}.Bytes())
		}
		settled.Send(raw.Plain(raw.PINGREQ))
		settled.Expect(raw.PINGRESP)
		end := time.Now().Add(2 * time.Minute)
		for i, c := range conns {
			_ = c.SetReadDeadline(end)
			var b [4]byte
			if _, err := c.Read(b[:]); err != nil || b != [4]byte{0x20, 2, 0, 0} {
				t.Fatalf("round %d, client %d: % x, %v; %+v", round, i, b, err, s.Stats())
			}
		}
		settled.Send(raw.Plain(raw.PINGREQ))
		settled.Expect(raw.PINGRESP)
		for _, c := range conns {
			_ = c.Close()
		}
	}
	s.eventually("all are gone", func(st broker.Stats) bool { return sumConnections(st) == 1 && st.Waiting == 0 })
}

// slowKeeper lets everybody in when its door opens.
type slowKeeper struct {
	door  chan struct{}
	asked sync.Map
}

func (k *slowKeeper) Authenticate(_ context.Context, c *broker.Credentials) (*broker.Identity, error) {
	k.asked.Store(c.ClientID, true)
	<-k.door
	return &broker.Identity{User: "x"}, nil
}

// Who gave up while waiting costs no work when its turn comes; who still waits is let in.
func TestWhoGaveUpIsNotChecked(t *testing.T) {
	k := &slowKeeper{door: make(chan struct{})}
	s := start(t, broker.Options{Hooks: []any{k}})
	waiting := func(n int64) {
		t.Helper()
		s.eventually(fmt.Sprint(n, " wait"), func(st broker.Stats) bool { return st.Waiting == n })
	}
	const checkers = 4
	for i := range checkers {
		s.dial(raw.V5).SendConnect(raw.Connect{Version: raw.V5, ID: fmt.Sprint("first", i), Clean: true})
	}
	s.eventually("the checkers are busy", func(broker.Stats) bool {
		n := 0
		k.asked.Range(func(any, any) bool { n++; return true })
		return n == checkers
	})
	gone, there := s.dial(raw.V5), s.dial(raw.V5)
	gone.SendConnect(raw.Connect{Version: raw.V5, ID: "gone", Clean: true})
	waiting(1)
	there.SendConnect(raw.Connect{Version: raw.V5, ID: "there", Clean: true})
	waiting(2)
	gone.Close()
	s.Advance(2 * time.Second)
	close(k.door)
	if got := there.Expect(raw.CONNACK); got.Code != 0 {
		t.Errorf("%v", got)
	}
	s.eventually("one gave up", func(st broker.Stats) bool { return st.Auth["gave_up"] == 1 || st.Auth["ok"] == checkers+2 })
	if _, asked := k.asked.Load("gone"); asked {
		t.Error("the one that is gone was checked")
	}
}
