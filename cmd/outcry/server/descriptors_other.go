//go:build !unix

package server

// openFiles returns the limit of open files; 0: unknown.
func openFiles() int { return 0 }

// mayWrite reports whether this process may create files in a folder, as far as known.
func mayWrite(string) bool { return true }
