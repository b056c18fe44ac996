// Package acme has only a test: the real program gets, serves and renews certificates from Pebble, the ACME authority that
// Let's Encrypt makes for tests. It is a module of its own, so that what Pebble needs is not among the program's
// dependencies.
package acme
