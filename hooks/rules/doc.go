// Package rules decides which clients may publish and subscribe to which topics. An Authorizer evaluates rules in
// order: the first match wins, and everything else is denied. Rooms are families of topics with lists of readers and
// writers; they become rules behind the explicit ones.
//
// It never reads credentials or payloads, and never narrows or widens a filter: a subscription is allowed or refused
// as a whole.
package rules
