// Package jwt tells who a client is from a JSON Web Token that it shows as its MQTT password (RFC 7519). It also mints
// and inspects such tokens, and makes the secret that signs them.
//
// A token never chooses how it is verified: each key is bound to one algorithm, "none" is not one of them, and keys that
// a token carries or points to are not looked at. A token or a key never stands in an error or a log.
package jwt
