package wire_test

import (
	"testing"

	"github.com/mochi-mqtt/server/v2/packets"
	"github.com/outcry-mqtt/outcry/internal/wire"
)

// TestCodes compares the codes with mochi's.
func TestCodes(t *testing.T) {
	for code, want := range map[byte]packets.Code{
		wire.Success:                             packets.CodeSuccess,
		wire.GrantedQoS1:                         packets.CodeGrantedQos1,
		wire.GrantedQoS2:                         packets.CodeGrantedQos2,
		wire.DisconnectWithWill:                  packets.CodeDisconnectWillMessage,
		wire.NoMatchingSubscribers:               packets.CodeNoMatchingSubscribers,
		wire.NoSubscriptionExisted:               packets.CodeNoSubscriptionExisted,
		wire.ContinueAuthentication:              packets.CodeContinueAuthentication,
		wire.ReAuthenticate:                      packets.CodeReAuthenticate,
		wire.UnspecifiedError:                    packets.ErrUnspecifiedError,
		wire.MalformedPacket:                     packets.ErrMalformedPacket,
		wire.ProtocolError:                       packets.ErrProtocolViolation,
		wire.ImplementationSpecificError:         packets.ErrImplementationSpecificError,
		wire.UnsupportedProtocolVersion:          packets.ErrUnsupportedProtocolVersion,
		wire.ClientIdentifierNotValid:            packets.ErrClientIdentifierNotValid,
		wire.BadUsernameOrPassword:               packets.ErrBadUsernameOrPassword,
		wire.NotAuthorized:                       packets.ErrNotAuthorized,
		wire.ServerUnavailable:                   packets.ErrServerUnavailable,
		wire.ServerBusy:                          packets.ErrServerBusy,
		wire.Banned:                              packets.ErrBanned,
		wire.ServerShuttingDown:                  packets.ErrServerShuttingDown,
		wire.BadAuthenticationMethod:             packets.ErrBadAuthenticationMethod,
		wire.KeepAliveTimeout:                    packets.ErrKeepAliveTimeout,
		wire.SessionTakenOver:                    packets.ErrSessionTakenOver,
		wire.TopicFilterInvalid:                  packets.ErrTopicFilterInvalid,
		wire.TopicNameInvalid:                    packets.ErrTopicNameInvalid,
		wire.PacketIDInUse:                       packets.ErrPacketIdentifierInUse,
		wire.PacketIDNotFound:                    packets.ErrPacketIdentifierNotFound,
		wire.ReceiveMaximumExceeded:              packets.ErrReceiveMaximum,
		wire.TopicAliasInvalid:                   packets.ErrTopicAliasInvalid,
		wire.PacketTooLarge:                      packets.ErrPacketTooLarge,
		wire.MessageRateTooHigh:                  packets.ErrMessageRateTooHigh,
		wire.QuotaExceeded:                       packets.ErrQuotaExceeded,
		wire.AdministrativeAction:                packets.ErrAdministrativeAction,
		wire.PayloadFormatInvalid:                packets.ErrPayloadFormatInvalid,
		wire.RetainNotSupported:                  packets.ErrRetainNotSupported,
		wire.QoSNotSupported:                     packets.ErrQosNotSupported,
		wire.UseAnotherServer:                    packets.ErrUseAnotherServer,
		wire.ServerMoved:                         packets.ErrServerMoved,
		wire.SharedSubscriptionsNotSupported:     packets.ErrSharedSubscriptionsNotSupported,
		wire.ConnectionRateExceeded:              packets.ErrConnectionRateExceeded,
		wire.MaximumConnectTime:                  packets.ErrMaxConnectTime,
		wire.SubscriptionIdentifiersNotSupported: packets.ErrSubscriptionIdentifiersNotSupported,
		wire.WildcardSubscriptionsNotSupported:   packets.ErrWildcardSubscriptionsNotSupported,
	} {
		if code != want.Code {
			t.Errorf("%s: got 0x%02X, want 0x%02X", want.Reason, code, want.Code)
		}
	}
}

func TestReasonString(t *testing.T) {
	for code, want := range map[byte]string{
		0x00: "Success", 0x81: "Malformed Packet", 0x8E: "Session taken over", 0xA2: "Wildcard Subscriptions not supported",
		0x55: "reason code 0x55", 0xFF: "reason code 0xFF",
	} {
		if got := wire.ReasonString(code); got != want {
			t.Errorf("0x%02X: got %q, want %q", code, got, want)
		}
	}
}

// TestConnackCode3 checks that every refusal in MQTT 5 is a refusal in 3.x, with a code that 3.x defines.
func TestConnackCode3(t *testing.T) {
	for code, want := range map[byte]byte{0x84: 1, 0x85: 2, 0x88: 3, 0x89: 3, 0x86: 4, 0x87: 5, 0x8A: 5, 0x97: 3} {
		if got := wire.ConnackCode3(code); got != want {
			t.Errorf("0x%02X: got %d, want %d", code, got, want)
		}
	}
	for code := range 256 {
		if got := wire.ConnackCode3(byte(code)); (got == 0) != (code == 0) || got > 5 {
			t.Errorf("0x%02X: got %d", code, got)
		}
	}
}
