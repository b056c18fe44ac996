package link_test

import (
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/internal/link"
)

// BenchmarkLink measures an entry of 100 bytes through both ends, with an acknowledgement for each 16 frames.
func BenchmarkLink(b *testing.B) {
	var s *link.Sender
	now := time.Unix(1, 0)
	r := link.NewReceiver(2, link.ReceiverOptions{Room: 16 << 20, MaxEntry: 1 << 20}, func([]byte) {})
	frames := 0
	s = link.NewSender(1, 4<<20, func(frame []byte) {
		frames++
		_ = r.Receive(frame, func() {})
	})
	s.Tick(now)
	ack := r.AppendAck(nil)
	_, _ = s.Acknowledge(ack, now)
	entry := make([]byte, 100)
	b.SetBytes(int64(len(entry)))
	b.ReportAllocs()
	for b.Loop() {
		if s.Append(entry, now); frames >= 16 {
			frames, ack = 0, r.AppendAck(ack[:0])
			_, _ = s.Acknowledge(ack, now)
		}
	}
	s.Flush(now)
	ack = r.AppendAck(ack[:0])
	if _, err := s.Acknowledge(ack, now); err != nil || s.Waiting() > 0 {
		b.Errorf("%d bytes wait, %v", s.Waiting(), err)
	}
}
