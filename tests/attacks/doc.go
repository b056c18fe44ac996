// Package attacks contains only tests: attacks by strangers and by malicious clients on the real program. Its other
// clients must not notice. Each test states the attacker's gain.
package attacks
