//go:build race

package clients_test

// buildFlags build the program like the tests.
var buildFlags = []string{"-race"}
