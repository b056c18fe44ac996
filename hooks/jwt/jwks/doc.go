// Package jwks reads token keys from JSON Web Key Sets (RFC 7517), in a file or at a URL. It omits and reports
// members that are no strong signature keys. Neither a slow source nor tokens with unknown keys delay clients whose
// keys are known.
package jwks
