// Package passwd authenticates clients by user name and password, from a file with one user a line. It also writes
// such files.
//
// It stores hashes only (argon2id or bcrypt). Neither its answer nor its response time reveals whether a user exists.
package passwd
