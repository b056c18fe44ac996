// Package jwks reads keys of tokens from JSON Web Key Sets (RFC 7517), in a file or behind a URL. A set may hold anything:
// what is no strong key that verifies signatures is left out and told of. It never lets a source, or the tokens that name
// keys of it, hold up those whose keys are known.
package jwks
