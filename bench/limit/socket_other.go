//go:build !linux

package main

import "errors"

var errLinux = errors.New("the limit is measured on Linux")

func duplicate(int) (int, error)     { return -1, errLinux }
func closeFD(int)                    {}
func readFD(int, []byte) (int, bool) { return 0, false }
func writeFD(int, []byte)            {}
