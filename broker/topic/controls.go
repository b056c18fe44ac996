package topic

import "strings"

// HasControls tells whether s has a code point that MQTT advises against and lets a receiver refuse; see IsControl.
func HasControls(s string) bool { return strings.ContainsFunc(s, IsControl) }

// IsControl tells whether r is a control character (U+0000 to U+001F, U+007F to U+009F) or a non-character of Unicode
// (U+FDD0 to U+FDEF, and the last two code points of each plane). Clients that check what they receive close their
// connection when they get a topic with one (MQTT 5 1.5.4, MQTT 3.1.1 1.5.3).
func IsControl(r rune) bool {
	switch {
	case r < 0x20, r >= 0x7F && r <= 0x9F:
		return true
	case r < 0xFDD0:
		return false
	}
	return r <= 0xFDEF || r&0xFFFE == 0xFFFE
}
