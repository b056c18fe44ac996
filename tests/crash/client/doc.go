// Package client holds the publishers and subscribers of a crash test: clients of MQTT that lose their connection all the
// time and do what the specification wants of them, with their own packet identifiers, DUP and acknowledgements. They
// note what they do in a history, and never judge it.
package client
