// Package acme contains only tests: the real program gets, serves and renews certificates from Pebble, Let's
// Encrypt's ACME authority for tests. It is a module of its own, to keep Pebble's dependencies out of the program's
// module.
package acme
