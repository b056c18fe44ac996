// Package broker is the engine of Outcry. It carries MQTT 3.1, 3.1.1 and 5.0 messages between attached connections, and owns
// shards, sessions, routing, retained messages and wills. It never listens, reads a config file or decides on identities and
// permissions: listeners attach connections, and hooks authenticate and authorize clients.
package broker
