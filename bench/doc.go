// Package bench loads any MQTT broker, checks its deliveries, and measures throughput, latency, and the processor
// time and memory of the broker's process. It is a client over real connections and knows nothing of the broker under
// test; of this module's engine it uses only the poller.
//
// A few workers, one by default, each own many non-blocking sockets: a goroutine on a thread of its own with one
// poller, so that the generator costs little beside the broker. Nothing is allocated per message.
//
// Each message carries the time when it was due, its stream (a publisher and a topic) and its number within the
// stream. From these a subscriber detects lost, duplicate, reordered and misrouted messages. See header.
package bench
