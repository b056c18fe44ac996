// Package raw is an MQTT client for tests. It writes any bytes, valid packets or not, and reads a server's packets
// strictly, with a deadline. It shares no code with the broker's codec, and never acknowledges, retries or answers by
// itself.
package raw
