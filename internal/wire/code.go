package wire

import "fmt"

// The reason codes (MQTT 5 2.4). Codes from UnspecifiedError on are failures.
const (
	Success                             byte = 0x00
	GrantedQoS0                         byte = 0x00
	GrantedQoS1                         byte = 0x01
	GrantedQoS2                         byte = 0x02
	DisconnectWithWill                  byte = 0x04
	NoMatchingSubscribers               byte = 0x10
	NoSubscriptionExisted               byte = 0x11
	ContinueAuthentication              byte = 0x18
	ReAuthenticate                      byte = 0x19
	UnspecifiedError                    byte = 0x80
	MalformedPacket                     byte = 0x81
	ProtocolError                       byte = 0x82
	ImplementationSpecificError         byte = 0x83
	UnsupportedProtocolVersion          byte = 0x84
	ClientIdentifierNotValid            byte = 0x85
	BadUsernameOrPassword               byte = 0x86
	NotAuthorized                       byte = 0x87
	ServerUnavailable                   byte = 0x88
	ServerBusy                          byte = 0x89
	Banned                              byte = 0x8A
	ServerShuttingDown                  byte = 0x8B
	BadAuthenticationMethod             byte = 0x8C
	KeepAliveTimeout                    byte = 0x8D
	SessionTakenOver                    byte = 0x8E
	TopicFilterInvalid                  byte = 0x8F
	TopicNameInvalid                    byte = 0x90
	PacketIDInUse                       byte = 0x91
	PacketIDNotFound                    byte = 0x92
	ReceiveMaximumExceeded              byte = 0x93
	TopicAliasInvalid                   byte = 0x94
	PacketTooLarge                      byte = 0x95
	MessageRateTooHigh                  byte = 0x96
	QuotaExceeded                       byte = 0x97
	AdministrativeAction                byte = 0x98
	PayloadFormatInvalid                byte = 0x99
	RetainNotSupported                  byte = 0x9A
	QoSNotSupported                     byte = 0x9B
	UseAnotherServer                    byte = 0x9C
	ServerMoved                         byte = 0x9D
	SharedSubscriptionsNotSupported     byte = 0x9E
	ConnectionRateExceeded              byte = 0x9F
	MaximumConnectTime                  byte = 0xA0
	SubscriptionIdentifiersNotSupported byte = 0xA1
	WildcardSubscriptionsNotSupported   byte = 0xA2
)

// The return codes of a 3.x CONNACK (MQTT 3.1.1 3.2.2.3).
const (
	refused3Version     byte = 1
	refused3ClientID    byte = 2
	refused3Unavailable byte = 3
	refused3Credentials byte = 4
	refused3Authority   byte = 5
)

var reasons = [256]string{
	Success:                             "Success",
	GrantedQoS1:                         "Granted QoS 1",
	GrantedQoS2:                         "Granted QoS 2",
	DisconnectWithWill:                  "Disconnect with Will Message",
	NoMatchingSubscribers:               "No matching subscribers",
	NoSubscriptionExisted:               "No subscription existed",
	ContinueAuthentication:              "Continue authentication",
	ReAuthenticate:                      "Re-authenticate",
	UnspecifiedError:                    "Unspecified error",
	MalformedPacket:                     "Malformed Packet",
	ProtocolError:                       "Protocol Error",
	ImplementationSpecificError:         "Implementation specific error",
	UnsupportedProtocolVersion:          "Unsupported Protocol Version",
	ClientIdentifierNotValid:            "Client Identifier not valid",
	BadUsernameOrPassword:               "Bad User Name or Password",
	NotAuthorized:                       "Not authorized",
	ServerUnavailable:                   "Server unavailable",
	ServerBusy:                          "Server busy",
	Banned:                              "Banned",
	ServerShuttingDown:                  "Server shutting down",
	BadAuthenticationMethod:             "Bad authentication method",
	KeepAliveTimeout:                    "Keep Alive timeout",
	SessionTakenOver:                    "Session taken over",
	TopicFilterInvalid:                  "Topic Filter invalid",
	TopicNameInvalid:                    "Topic Name invalid",
	PacketIDInUse:                       "Packet Identifier in use",
	PacketIDNotFound:                    "Packet Identifier not found",
	ReceiveMaximumExceeded:              "Receive Maximum exceeded",
	TopicAliasInvalid:                   "Topic Alias invalid",
	PacketTooLarge:                      "Packet too large",
	MessageRateTooHigh:                  "Message rate too high",
	QuotaExceeded:                       "Quota exceeded",
	AdministrativeAction:                "Administrative action",
	PayloadFormatInvalid:                "Payload format invalid",
	RetainNotSupported:                  "Retain not supported",
	QoSNotSupported:                     "QoS not supported",
	UseAnotherServer:                    "Use another server",
	ServerMoved:                         "Server moved",
	SharedSubscriptionsNotSupported:     "Shared Subscriptions not supported",
	ConnectionRateExceeded:              "Connection rate exceeded",
	MaximumConnectTime:                  "Maximum connect time",
	SubscriptionIdentifiersNotSupported: "Subscription Identifiers not supported",
	WildcardSubscriptionsNotSupported:   "Wildcard Subscriptions not supported",
}

// ReasonString returns the specification's name of a reason code, or the number if it has none.
func ReasonString(code byte) string {
	if reasons[code] == "" {
		return fmt.Sprintf("reason code 0x%02X", code)
	}
	return reasons[code]
}

// ConnackCode3 returns the MQTT 3.x return code nearest to a reason code: 0 for success, else 1 to 5. Reasons that
// 3.x lacks become 3, server unavailable.
func ConnackCode3(code byte) byte {
	switch code {
	case Success:
		return 0
	case UnsupportedProtocolVersion:
		return refused3Version
	case ClientIdentifierNotValid:
		return refused3ClientID
	case BadUsernameOrPassword:
		return refused3Credentials
	case NotAuthorized, Banned, BadAuthenticationMethod, TopicNameInvalid:
		return refused3Authority
	}
	return refused3Unavailable
}
