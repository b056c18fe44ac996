// Package broker is the engine of Outcry: it carries MQTT 3.1, 3.1.1 and 5.0 messages between connections that it is
// handed. It owns shards, sessions, routing, retained messages and wills. It never listens, never reads a config file and
// never decides who somebody is: listeners hand it connections, and hooks tell it who may do what.
package broker
