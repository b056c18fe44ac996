package conformance_test

import (
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

func TestPing(t *testing.T) {
	versions(t, func(t *testing.T, s *server, version byte) {
		c := s.connect(t, clean(version, "c"))
		c.Send(raw.Plain(raw.PINGREQ), raw.Plain(raw.PINGREQ))
		c.Expect(raw.PINGRESP)
		c.Expect(raw.PINGRESP)
	})
}

// TestKeepAlive closes a silent connection after one and a half times its keep alive, and no other.
func TestKeepAlive(t *testing.T) {
	versions(t, func(t *testing.T, s *server, version byte) {
		silent := clean(version, "silent")
		silent.KeepAlive = 1
		began := time.Now()
		c := s.connect(t, silent)
		for _, id := range []string{"pings", "publishes", "without"} {
			k := clean(version, id)
			if k.KeepAlive = 1; id == "without" {
				k.KeepAlive = 0
			}
			other := s.connect(t, k)
			defer other.ExpectNothing()
			if id != "without" {
				say := raw.Plain(raw.PINGREQ)
				if id == "publishes" {
					say = raw.Publish{Topic: "a"}.Bytes(version)
				}
				stop := every(100*time.Millisecond, func() { _ = other.TrySend(say) })
				defer func() {
					for range stop() {
						if id == "pings" {
							other.Expect(raw.PINGRESP)
						}
					}
				}()
			}
		}
		c.ExpectEnd(0x8D)
		if took := time.Since(began); took < 1400*time.Millisecond {
			t.Errorf("closed after %v, want one and a half seconds", took)
		}
	})
}

// TestKeepAliveCountsPackets closes a connection on which bytes arrive, but no complete packet [MQTT-3.1.2-22].
func TestKeepAliveCountsPackets(t *testing.T) {
	k := clean(raw.V5, "c")
	k.KeepAlive = 1
	t.Run("a packet that never ends", func(t *testing.T) {
		s := start(t)
		c := s.connect(t, k)
		c.Send([]byte{0x30, 0xFF, 0x7F, 0, 1}) // 16 KB: completes long after the keep alive
		defer every(300*time.Millisecond, func() { _ = c.TrySend([]byte{'a'}) })()
		c.ExpectEnd(0x8D)
	})
	t.Run("pings of WebSocket", func(t *testing.T) {
		s := startOurs(t, broker.Options{})
		c, f := s.dialWebSocket(t, raw.V5)
		c.Connect(k)
		defer every(300*time.Millisecond, func() { _, _ = f.Conn.Write(raw.Frame(raw.OpPing, true, nil)) })()
		c.ExpectEnd(0x8D)
	})
}

// every calls f at an interval until stop is called; stop returns the number of calls.
func every(d time.Duration, f func()) (stop func() int) {
	end, count := make(chan struct{}), make(chan int)
	go func() {
		tick := time.NewTicker(d)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-tick.C:
				f()
			case <-end:
				count <- n
				return
			}
		}
	}()
	return func() int {
		close(end)
		return <-count
	}
}

func TestServerKeepAlive(t *testing.T) {
	s := startOurs(t, broker.Options{Limits: broker.Limits{ServerKeepAlive: 2 * time.Second}})
	for asked, told := range map[int]int{0: 2, 60: 2, 2: -1, 1: -1} {
		k := clean(raw.V5, "c")
		k.KeepAlive = asked
		c, p := s.open(t, k)
		if got := p.Props.Num(raw.ServerKeepAlive); got != told {
			t.Errorf("asked for %d s, told %d, want %d", asked, got, told)
		}
		c.Close()
	}
	k := clean(raw.V5, "silent")
	k.KeepAlive = 60
	began := time.Now()
	s.connect(t, k).ExpectEnd(0x8D)
	if took := time.Since(began); took < 2900*time.Millisecond {
		t.Errorf("closed after %v, want three seconds", took)
	}
}

func TestConnectTimeout(t *testing.T) {
	s := startOurs(t, broker.Options{Limits: broker.Limits{ConnectTimeout: time.Second, MaxConnectBytes: 1000}})
	silent, slow := s.dial(t, raw.V5), s.dial(t, raw.V5)
	slow.Send(clean(raw.V5, "slow").Bytes()[:10])
	silent.ExpectClosed()
	slow.ExpectClosed()

	long := s.dial(t, raw.V5)
	k := clean(raw.V5, "long")
	k.Password = ptr(string(make([]byte, 2000)))
	_ = long.TrySend(k.Bytes())
	p, err := long.Read()
	if err == nil && p.Code != 0x95 {
		t.Errorf("got %v, want nothing or code 0x95", p)
	}
}
