package listeners

import (
	"net/http"
	"strconv"
	"strings"
)

const extensionsHeader = "Sec-Websocket-Extensions"

// offersDeflate reports whether a client offers permessage-deflate in a form that the answer 'permessage-deflate;
// server_no_context_takeover; client_no_context_takeover' accepts (RFC 7692 7.1). It removes all other offers from
// the header, because the upgrader answers any with that name.
func offersDeflate(h http.Header) bool {
	offers := strings.Split(strings.Join(h[extensionsHeader], ","), ",")
	for _, offer := range offers {
		if acceptsDeflate(offer) {
			h[extensionsHeader] = []string{"permessage-deflate"}
			return true
		}
	}
	return false
}

// acceptsDeflate checks one offer. An unknown or repeated parameter, or a wrong value, makes it invalid. It also
// refuses a smaller window for the server, which the answer would have to confirm (RFC 7692 7.1.2.1).
func acceptsDeflate(offer string) bool {
	name, params, _ := strings.Cut(offer, ";")
	if strings.TrimSpace(name) != "permessage-deflate" {
		return false
	}
	seen := make(map[string]bool)
	for params != "" {
		var param string
		param, params, _ = strings.Cut(params, ";")
		key, value, valued := strings.Cut(strings.TrimSpace(param), "=")
		if seen[key] {
			return false
		}
		seen[key] = true
		switch key {
		case "server_no_context_takeover", "client_no_context_takeover":
			if valued {
				return false
			}
		case "client_max_window_bits":
			if valued && !windowBits(value) {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// windowBits reports whether a value is 8 to 15 without leading zeros, quoted or not.
func windowBits(value string) bool {
	if n := len(value); n >= 2 && value[0] == '"' && value[n-1] == '"' {
		value = value[1 : n-1]
	}
	n, err := strconv.Atoi(value)
	return err == nil && n >= 8 && n <= 15 && strconv.Itoa(n) == value
}
