// Package denylist keeps those out who must not come in any more, whatever they show: tokens that were revoked, users and
// client identifiers, by a file with a line for each. It also writes such files.
//
// It takes effect on clients that are connected, and never lets anybody in.
package denylist
