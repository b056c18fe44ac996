// Package jwt authenticates clients by a JSON Web Token (RFC 7519), sent as MQTT password. It also creates and
// inspects tokens, and creates the secret that signs them.
//
// A token never chooses its verification: each key is bound to one algorithm, "none" is no algorithm, and keys that a
// token carries or points to are ignored. Tokens and keys never appear in an error or a log.
package jwt
