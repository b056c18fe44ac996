package wire

import "fmt"

// Error is the reason to refuse a packet. The package allocates its errors once, so that hostile packets cost no
// allocation.
type Error struct {
	Code   byte   // reason code for an MQTT 5 client: MalformedPacket, ProtocolError, …
	Reason string // constant text, with the clause if there is one
}

// Error returns the reason with its code.
func (e *Error) Error() string { return fmt.Sprintf("%s (0x%02X)", e.Reason, e.Code) }

func malformed(reason string) *Error { return &Error{Code: MalformedPacket, Reason: reason} }
func protocol(reason string) *Error  { return &Error{Code: ProtocolError, Reason: reason} }
func badVersion(reason string) *Error {
	return &Error{Code: UnsupportedProtocolVersion, Reason: reason}
}

// Errors of any packet.
var (
	errReserved     = malformed("packet type 0 is reserved (MQTT 5 2.1.2)")
	errFlags        = malformed("fixed header flags are invalid for the packet type [MQTT-2.1.3-1]")
	errQoS3         = malformed("PUBLISH with QoS 3 [MQTT-3.3.1-4]")
	errDup          = malformed("PUBLISH with DUP and QoS 0 [MQTT-3.3.1-2]")
	errVarintLong   = malformed("variable byte integer longer than four bytes (MQTT 5 1.5.5)")
	errVarintPadded = malformed("variable byte integer not in its shortest form [MQTT-1.5.5-1]")
	errShort        = malformed("packet ends within a field")
	errTrailing     = malformed("bytes after the last field")
	errUTF8         = malformed("string is not UTF-8, or has U+0000 [MQTT-1.5.4-1] [MQTT-1.5.4-2]")
	errPacketID     = protocol("packet identifier is 0 [MQTT-2.2.1-3]")
	errReasonCode   = protocol("reason code is not allowed in this packet from a client (MQTT 5 2.4)")
)

// Errors of properties.
var (
	errPropertyUnknown  = malformed("unknown property (MQTT 5 2.2.2.2)")
	errPropertyPlace    = malformed("property is not allowed in this packet from a client (MQTT 5 2.2.2.2)")
	errPropertyRepeated = protocol("property is repeated (MQTT 5 2.2.2.2)")
	errPropertyLength   = malformed("property exceeds the property length (MQTT 5 2.2.2.1)")
	errNotBoolean       = protocol("property is neither 0 nor 1")
	errReceiveMaximum   = protocol("receive maximum is 0 (MQTT 5 3.1.2.11.3)")
	errMaximumPacket    = protocol("maximum packet size is 0 (MQTT 5 3.1.2.11.4)")
	errIdentifierZero   = protocol("subscription identifier is 0 (MQTT 5 3.8.2.1.2)")
	errIdentifierSent   = protocol("PUBLISH from a client with a subscription identifier [MQTT-3.3.4-6]")
	errAliasZero        = &Error{Code: TopicAliasInvalid, Reason: "topic alias is 0 [MQTT-3.3.2-8]"}
	errResponseTopic    = protocol("response topic is empty or has a wildcard [MQTT-3.3.2-14] [MQTT-4.7.3-1]")
	errNotForwarded     = protocol("property cannot be forwarded with a message")
)

// Errors of CONNECT.
var (
	errProtocolName   = badVersion("protocol name is not MQTT or MQIsdp [MQTT-3.1.2-1]")
	errProtocolLevel  = badVersion("protocol version is not 3.1, 3.1.1 or 5.0 [MQTT-3.1.2-2]")
	errConnectFlag    = malformed("CONNECT's reserved flag is set [MQTT-3.1.2-3]")
	errWillQoS3       = malformed("will with QoS 3 [MQTT-3.1.2-12]")
	errWillFlags      = malformed("will QoS or will retain without a will [MQTT-3.1.2-11] [MQTT-3.1.2-13]")
	errPasswordAlone  = malformed("password without a user name (MQTT 3.1.1 [MQTT-3.1.2-22])")
	errAuthData       = protocol("authentication data without a method (MQTT 5 3.1.2.11.10)")
	errClientIDNeeded = &Error{Code: ClientIdentifierNotValid, Reason: "empty client identifier without clean session (MQTT 3.1.1 [MQTT-3.1.3-8])"}
	errClientID31     = &Error{Code: ClientIdentifierNotValid, Reason: "empty client identifier in MQTT 3.1"}
)

// Errors of PUBLISH, SUBSCRIBE, UNSUBSCRIBE and AUTH.
var (
	errNoTopic        = protocol("neither topic name nor topic alias (MQTT 5 3.3.2.1)")
	errManyFilters    = &Error{Code: QuotaExceeded, Reason: "more topic filters than the maximum number of subscriptions of a session"}
	errNoFilters      = protocol("no topic filters [MQTT-3.8.3-2] [MQTT-3.10.3-2]")
	errFilterEmpty    = protocol("topic filter is empty [MQTT-4.7.3-1]")
	errOptions        = malformed("reserved bits of the subscription options are set [MQTT-3.8.3-5]")
	errSubscribeQoS   = protocol("subscription with QoS 3 (MQTT 5 3.8.3.1)")
	errRetainHandling = protocol("retain handling is 3 (MQTT 5 3.8.3.1)")
	errNoLocal        = protocol("no local on a shared subscription [MQTT-3.8.3-4]")
	errAuthMethod     = protocol("AUTH without an authentication method (MQTT 5 3.15.2.2.2)")
)
