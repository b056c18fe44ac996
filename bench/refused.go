package bench

// RefusedError is a broker's refusal of a connection or a subscription.
type RefusedError struct {
	Filter string // of the subscription; "": the connection
	Code   byte   // reason code of CONNACK or SUBACK

	version byte
}

// Error describes the refusal and its reason.
func (e *RefusedError) Error() string {
	what := "connection"
	if e.Filter != "" {
		what = "subscription to " + e.Filter
	}
	return what + " refused: " + reason(e.Code, e.version)
}

// IsForbidden reports whether the client's identity or missing credentials caused the refusal.
func (e *RefusedError) IsForbidden() bool {
	switch {
	case e.Filter != "":
		return e.Code == 0x87 || e.version < 5 && e.Code == 0x80 // 3.1.1 has no reason codes here
	case e.version < 5:
		return e.Code == 4 || e.Code == 5
	}
	return e.Code == 0x86 || e.Code == 0x87
}
