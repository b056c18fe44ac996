// Package conformance tests the broker against MQTT 3.1, 3.1.1 and 5.0 on raw sockets: every normative statement that
// binds a server has a row in docs/conformance.md and a test here. It shares no code with the broker's codec, so that
// an error in one cannot hide in the other.
//
// The same tests run against another broker. That shows errors of the tests, and errors of the peer:
//
//	OUTCRY_CONFORMANCE_PEER="mosquitto -p {port}" go test ./broker/conformance
package conformance
