//go:build !linux

package broker

import (
	"errors"
	"net"
)

// On this system no descriptor is taken out of a connection: goroutines read and write them.

var errAgain = errors.New("nothing to read now")

func readFD(int32, []byte) (int, error)           { return 0, errAgain }
func writeFD(int32, []byte) (int, error)          { return 0, errAgain }
func writeFD2(int32, []byte, []byte) (int, error) { return 0, errAgain }
func sendFD(int32, []byte, []byte) (int, error)   { return 0, errAgain }
func unsent(int32) int                            { return 0 }
func setShallow(int32, int)                       {}
func setShallowConn(net.Conn, int)                {}
func shutdownWrite(int32)                         {}
func closeFD(int32)                               {}

func detach(net.Conn) (fd int32, ok bool, err error) { return -1, false, nil }

func peerClosed(int32) bool { return false }
