// Package client holds the publishers and subscribers of a crash test. These MQTT clients lose their connection
// frequently and follow the specification with their own packet identifiers, DUP and acknowledgements. They record
// their actions in a history, and never judge it.
package client
