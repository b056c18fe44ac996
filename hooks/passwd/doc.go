// Package passwd tells who a client is from its user name and password, by a file with a line for each user. It also
// writes such files.
//
// It keeps no password, only hashes (argon2id or bcrypt), and neither its answer nor the time it takes tells whether a
// user exists.
package passwd
