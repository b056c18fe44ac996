package link_test

import (
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/internal/link"
)

// FuzzFrame hands any frame to both ends. They refuse it or take it, and never panic or hold more than a frame and an entry.
func FuzzFrame(f *testing.F) {
	now := time.Unix(1, 0)
	var frames [][]byte
	s := link.NewSender(1, 1<<20, func(frame []byte) { frames = append(frames, append([]byte(nil), frame...)) })
	r := link.NewReceiver(2, link.ReceiverOptions{Room: 1 << 20, MaxEntry: 1 << 16}, func([]byte) {})
	s.Tick(now)
	_ = r.Receive(frames[0], func() {})
	_, _ = s.Acknowledge(r.AppendAck(nil), now)
	s.Append([]byte("entry"), now)
	s.Append(make([]byte, 20_000), now)
	s.Flush(now)
	for _, frame := range append(frames, r.AppendAck(nil)) {
		f.Add(frame)
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		got := 0
		r := link.NewReceiver(2, link.ReceiverOptions{Room: 1 << 20, MaxEntry: 1 << 16}, func(entry []byte) { got += len(entry) })
		_ = r.Receive(frames[0], func() {})
		_ = r.Receive(frame, func() {})
		if got > len(frame) {
			t.Errorf("a frame of %d bytes gave entries of %d", len(frame), got)
		}
		s := link.NewSender(1, 1<<20, func([]byte) {})
		s.Append([]byte("entry"), now)
		s.Flush(now)
		_, _ = s.Acknowledge(frame, now)
		if n := s.Waiting(); n < 0 || n > 1000 {
			t.Errorf("%d bytes wait", n)
		}
	})
}
