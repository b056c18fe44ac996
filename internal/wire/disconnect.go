package wire

import "bytes"

// Disconnect is a DISCONNECT of a client (MQTT 5 3.14).
type Disconnect struct {
	Code             byte   // Success in 3.x
	SessionExpiry    uint32 // seconds; all ones: never
	HasSessionExpiry bool
	Reason           string // the reason string: untrusted text
}

// Auth is an AUTH (MQTT 5 3.15).
type Auth struct {
	Code      byte
	Method    string
	HasMethod bool   // true in every valid AUTH of a client
	Data      []byte // nil if there is none
}

// DecodeDisconnect decodes the body of a DISCONNECT into d, which copies everything.
func DecodeDisconnect(body []byte, version byte, d *Disconnect) error {
	*d = Disconnect{}
	if len(body) == 0 {
		return nil
	}
	if version < V5 {
		return errTrailing
	}
	d.Code = body[0]
	if !disconnectCode(d.Code) {
		return errReasonCode
	}
	if len(body) == 1 { // no properties (MQTT 5 3.14.2.2.1)
		return nil
	}
	s, err := lastProps(body[1:], inDisconnect)
	if err != nil {
		return err
	}
	for s.next() {
		switch s.id {
		case propSessionExpiry:
			d.SessionExpiry, d.HasSessionExpiry = s.num, true
		case propReasonString:
			d.Reason = string(s.data)
		}
	}
	return s.err
}

// disconnectCode reports whether a client may use a reason code in DISCONNECT [MQTT-3.14.2-1].
func disconnectCode(code byte) bool {
	switch code {
	case Success, DisconnectWithWill, UnspecifiedError, MalformedPacket, ProtocolError, ImplementationSpecificError,
		TopicNameInvalid, ReceiveMaximumExceeded, TopicAliasInvalid, PacketTooLarge, MessageRateTooHigh, QuotaExceeded,
		AdministrativeAction, PayloadFormatInvalid:
		return true
	}
	return false
}

// DecodeAuth decodes the body of an AUTH into a, which copies everything. An empty body means Success, which only
// servers send.
func DecodeAuth(body []byte, a *Auth) error {
	*a = Auth{}
	if len(body) > 0 {
		a.Code = body[0]
	}
	if a.Code != ContinueAuthentication && a.Code != ReAuthenticate { // [MQTT-3.15.2-1]
		return errReasonCode
	}
	s, err := lastProps(body[1:], inAuth)
	if err != nil {
		return err
	}
	for s.next() {
		switch s.id {
		case propAuthMethod:
			a.Method, a.HasMethod = string(s.data), true
		case propAuthData:
			a.Data = bytes.Clone(s.data)
		}
	}
	if s.err == nil && !a.HasMethod {
		return errAuthMethod
	}
	return s.err
}
