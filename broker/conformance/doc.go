// Package conformance holds the broker against MQTT 3.1, 3.1.1 and 5.0, on raw sockets: every normative statement that
// binds a server has a row in docs/conformance.md and a test here. It has no code of its own and shares none with the
// broker's codec, so that an error of the one cannot hide in the other.
//
// The same tests run against another broker, which shows what is wrong with the tests and what is wrong with the peer:
//
//	OUTCRY_CONFORMANCE_PEER="mosquitto -p {port}" go test ./broker/conformance
package conformance
