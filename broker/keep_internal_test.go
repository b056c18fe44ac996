package broker

import "testing"

// BenchmarkKeep is what a message costs that somebody has to keep: the most of what QoS 1 costs.
func BenchmarkKeep(b *testing.B) {
	for _, c := range []struct {
		name    string
		payload []byte
	}{{"64 bytes", make([]byte, 64)}, {"200 bytes", make([]byte, 200)}} {
		b.Run(c.name, func(b *testing.B) {
			m := message{topic: "t", payload: c.payload}
			b.ReportAllocs()
			for b.Loop() {
				m.own = nil
				m.ownCopy()
			}
		})
	}
}
