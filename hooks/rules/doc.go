// Package rules decides who may publish and subscribe to what: an Authorizer whose rules are read in order, the first
// that matches wins, and whatever none of them allows is denied. Rooms are families of topics with who may join and who
// may speak; they become rules behind those that were written.
//
// It never looks at credentials or payloads, and it never widens what was asked for: a subscription is allowed as a
// whole or refused.
package rules
