// Package denylist refuses revoked tokens, users and client identifiers, listed in a file with one entry a line. It
// also writes such files.
//
// It disconnects connected clients too, and never accepts a client.
package denylist
