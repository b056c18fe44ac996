// Package bench loads an MQTT broker, any broker, checks what it delivers, and measures both: throughput, latency, and
// the processor time and memory of the broker's process. It is a client over real connections and knows nothing of the
// broker that it measures; of this module's engine it uses the poller alone.
//
// A few workers, one by default, each own many non-blocking sockets: a goroutine on a thread of its own with one
// poller, so that the generator costs little beside what it measures. Nothing is allocated per message.
//
// Each message carries when it was due, its stream (a publisher and a topic) and its number within the stream; from
// these a subscriber tells what is lost, repeated, out of order or not meant for it. See header.
package bench
