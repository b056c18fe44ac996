package wire_test

import (
	"testing"

	"github.com/outcry-mqtt/outcry/internal/wire"
)

// Run them with: go test -bench . ./internal/wire

func BenchmarkParseHeader(b *testing.B) {
	packet := []byte{0x30, 0x80, 1}
	b.ReportAllocs()
	for b.Loop() {
		_, _, _ = wire.ParseHeader(packet)
	}
}

func BenchmarkDecodePublish(b *testing.B) {
	payload := make([]byte, 64)
	for _, k := range []struct {
		name    string
		version byte
		body    []byte
	}{
		{"3.1.1", wire.V311, cat("ticker/ACME", payload)},
		{"5.0", wire.V5, cat("ticker/ACME", 0, payload)},
		{"5.0 with an alias", wire.V5, cat("", props(0x23, 0, 1), payload)},
		{"5.0 with five properties", wire.V5,
			cat("ticker/ACME", props(1, 1, 3, "application/json", 2, 0, 0, 0, 60, 0x26, "k", "v", 8, "answers"), payload)},
	} {
		b.Run(k.name, func(b *testing.B) {
			buf := make([]byte, len(k.body))
			var p wire.Publish
			b.ReportAllocs()
			for b.Loop() {
				copy(buf, k.body)
				if err := wire.DecodePublish(0, buf, k.version, &p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppendPublish(b *testing.B) {
	o := wire.Outgoing{Topic: "ticker/ACME", QoS: 1, PacketID: 9, Payload: make([]byte, 64), Props: cat(1, 1, 3, "application/json")}
	buf := make([]byte, 0, 256)
	for version, name := range versions {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_ = wire.AppendPublish(buf, version, &o)
			}
		})
	}
}

func BenchmarkDecodeAck(b *testing.B) {
	body := []byte{0, 9}
	var a wire.Ack
	b.ReportAllocs()
	for b.Loop() {
		if err := wire.DecodeAck(wire.TypePuback, body, wire.V5, &a); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeSubscribe(b *testing.B) {
	body := cat(0, 9, 0, "ticker/#", 1)
	var s wire.Subscribe
	b.ReportAllocs()
	for b.Loop() {
		if err := wire.DecodeSubscribe(body, wire.V5, &s); err != nil {
			b.Fatal(err)
		}
	}
}
