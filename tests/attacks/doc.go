// Package attacks has only tests: what strangers and clients of ill will do to the real program, while its other clients
// must not notice. Each test says what the attacker gets.
package attacks
