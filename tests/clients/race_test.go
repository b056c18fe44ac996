//go:build race

package clients_test

// buildFlags build the program as the tests are built.
var buildFlags = []string{"-race"}
