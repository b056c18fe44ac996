//go:build !linux

package poller

import "net"

// Detach detaches nothing on this system: goroutines read and write connections.
func Detach(net.Conn) (fd int32, ok bool, err error) { return -1, false, nil }

// SetLowWaterConn has no effect on this system.
func SetLowWaterConn(net.Conn, int) {}

// The functions for descriptors are never called, since Detach returns none.

func ReadFD(int32, []byte) (int, error)             { return 0, ErrAgain }
func WriteFD(int32, []byte) (int, error)            { return 0, ErrAgain }
func WriteTwoFD(int32, []byte, []byte) (int, error) { return 0, ErrAgain }
func SendFD(int32, []byte, []byte) (int, error)     { return 0, ErrAgain }
func SetLowWater(int32, int)                        {}
func Unsent(int32) int                              { return 0 }
func PeerClosed(int32) bool                         { return false }
func ShutdownWrite(int32)                           {}
func CloseFD(int32)                                 {}
