package jwt

import (
	"fmt"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
)

// The labels of refusals, a closed set.
const (
	labelMalformed    = "malformed"     // not a token, or one that RFC 7515 says to reject
	labelBadAlgorithm = "bad_algorithm" // no key is for the token's algorithm
	labelUnknownKey   = "unknown_key"   // no key has the token's kid
	labelBadSignature = "bad_signature"
	labelExpired      = "expired"
	labelNoExpiry     = "no_expiry"
	labelNotYetValid  = "not_yet_valid" // nbf or iat in the future
	labelBadIssuer    = "bad_issuer"
	labelBadAudience  = "bad_audience"
	labelBadClaim     = "bad_claim" // a claim is not of the type that RFC 7519 says
	labelNoUser       = "no_user"
	labelUnavailable  = "keys_unavailable" // the issuer's keys could not be read yet, or are being read
)

var labels = []string{
	labelMalformed, labelBadAlgorithm, labelUnknownKey, labelBadSignature, labelExpired, labelNoExpiry, labelNotYetValid,
	labelBadIssuer, labelBadAudience, labelBadClaim, labelNoUser, labelUnavailable,
}

// notAToken refuses what was not shown to come from a holder of a key.
func notAToken(label, format string, args ...any) *broker.Refusal {
	return &broker.Refusal{Code: broker.CodeBadUserOrPassword, Reason: fmt.Sprintf(format, args...), Label: label}
}

// notAuthorized refuses a token for what it says.
func notAuthorized(label, format string, args ...any) *broker.Refusal {
	return &broker.Refusal{Code: broker.CodeNotAuthorized, Reason: fmt.Sprintf(format, args...), Label: label}
}

// unavailable refuses what may be accepted a little later.
func unavailable(reason string) *broker.Refusal {
	return &broker.Refusal{Code: broker.CodeServerUnavailable, Reason: reason, Label: labelUnavailable}
}

// brief shortens what a stranger sent, for a reason.
func brief(text string) string {
	const most = 40
	if len(text) > most {
		return text[:most] + "…"
	}
	return text
}

// seconds rounds up: less than a second is not 0.
func seconds(d time.Duration) time.Duration {
	return (d + time.Second - 1).Truncate(time.Second)
}
