package jwt

import (
	"fmt"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
)

// The labels of refusals, a closed set.
const (
	labelMalformed    = "malformed"     // no token, or one that RFC 7515 requires to reject
	labelBadAlgorithm = "bad_algorithm" // no key for the token's algorithm
	labelUnknownKey   = "unknown_key"   // no key with the token's kid
	labelBadSignature = "bad_signature"
	labelExpired      = "expired"
	labelNoExpiry     = "no_expiry"
	labelNotYetValid  = "not_yet_valid" // nbf or iat in the future
	labelBadIssuer    = "bad_issuer"
	labelBadAudience  = "bad_audience"
	labelBadClaim     = "bad_claim" // a claim of a wrong type (RFC 7519)
	labelNoUser       = "no_user"
	labelUnavailable  = "keys_unavailable" // the issuer's keys are not read yet, or being read
)

var labels = []string{
	labelMalformed, labelBadAlgorithm, labelUnknownKey, labelBadSignature, labelExpired, labelNoExpiry, labelNotYetValid,
	labelBadIssuer, labelBadAudience, labelBadClaim, labelNoUser, labelUnavailable,
}

// notAToken refuses a token that no key holder is known to have signed.
func notAToken(label, format string, args ...any) *broker.Refusal {
	return &broker.Refusal{Code: broker.CodeBadUserOrPassword, Reason: fmt.Sprintf(format, args...), Label: label}
}

// notAuthorized refuses a signed token for its claims.
func notAuthorized(label, format string, args ...any) *broker.Refusal {
	return &broker.Refusal{Code: broker.CodeNotAuthorized, Reason: fmt.Sprintf(format, args...), Label: label}
}

// unavailable refuses a token that may be accepted later.
func unavailable(reason string) *broker.Refusal {
	return &broker.Refusal{Code: broker.CodeServerUnavailable, Reason: reason, Label: labelUnavailable}
}

// truncate shortens a stranger's text for a reason.
func truncate(text string) string {
	const most = 40
	if len(text) > most {
		return text[:most] + "…"
	}
	return text
}

// seconds rounds up, so that less than a second is not 0.
func seconds(d time.Duration) time.Duration {
	return (d + time.Second - 1).Truncate(time.Second)
}
