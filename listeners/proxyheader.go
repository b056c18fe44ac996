package listeners

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
)

// The PROXY protocol, as specified in HAProxy's proxy-protocol.txt.
const (
	proxySignature = "\r\n\r\n\x00\r\nQUIT\n" // start of version 2
	proxyWord      = "PROXY "                 // start of version 1
	proxyLineBytes = 107                      // longest line of version 1, its end included
	proxyBlockMax  = 4096                     // longest block behind the first 16 bytes of version 2; the standard's own limit is 64 KiB
)

var (
	errNoProxyHeader  = errors.New("no PROXY protocol header")
	errProxyLine      = errors.New("malformed PROXY protocol header, version 1")
	errProxyBlock     = errors.New("malformed PROXY protocol header, version 2")
	errProxyBlockSize = fmt.Errorf("PROXY protocol header of more than %d bytes", proxyBlockMax)
)

// readProxyHeader reads a PROXY protocol header and not a byte more: the rest is read from the descriptor itself. It
// returns the client's address, or the zero address if the proxy connects for itself or does not know the client.
func readProxyHeader(r io.Reader) (netip.AddrPort, error) {
	var first [len(proxySignature)]byte // no header is shorter
	if _, err := io.ReadFull(r, first[:]); err != nil {
		return netip.AddrPort{}, err
	}
	switch {
	case string(first[:]) == proxySignature:
		return readProxyBlock(r)
	case bytes.HasPrefix(first[:], []byte(proxyWord)):
		return readProxyLine(r, first[:])
	}
	return netip.AddrPort{}, errNoProxyHeader
}

// readProxyLine reads the rest of a line of version 1, byte by byte up to its end.
func readProxyLine(r io.Reader, begin []byte) (netip.AddrPort, error) {
	var buffer [proxyLineBytes]byte
	line := append(buffer[:0], begin...)
	for !bytes.HasSuffix(line, []byte("\r\n")) {
		if len(line) == proxyLineBytes {
			return netip.AddrPort{}, errProxyLine
		}
		end := len(line)
		line = line[:end+1]
		if _, err := io.ReadFull(r, line[end:]); err != nil {
			return netip.AddrPort{}, err
		}
	}
	return parseProxyLine(string(line[len(proxyWord) : len(line)-2]))
}

// parseProxyLine parses "TCP4 source destination port port", or "UNKNOWN" followed by anything.
func parseProxyLine(text string) (netip.AddrPort, error) {
	words := strings.Split(text, " ")
	if words[0] == "UNKNOWN" {
		return netip.AddrPort{}, nil
	}
	if len(words) != 5 || words[0] != "TCP4" && words[0] != "TCP6" {
		return netip.AddrPort{}, errProxyLine
	}
	source, ok1 := parseProxyAddr(words[0], words[1], words[3])
	_, ok2 := parseProxyAddr(words[0], words[2], words[4])
	if !ok1 || !ok2 {
		return netip.AddrPort{}, errProxyLine
	}
	return source, nil
}

func parseProxyAddr(family, host, port string) (netip.AddrPort, bool) {
	addr, err := netip.ParseAddr(host)
	if err != nil || addr.Zone() != "" || addr.Is4() != (family == "TCP4") {
		return netip.AddrPort{}, false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || strconv.FormatUint(n, 10) != port {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(n)), true
}

// readProxyBlock reads the part behind the signature of version 2.
func readProxyBlock(r io.Reader) (netip.AddrPort, error) {
	var head [4]byte // version and command, family and transport, length
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return netip.AddrPort{}, err
	}
	length := int(binary.BigEndian.Uint16(head[2:]))
	if head[0]>>4 != 2 || head[0]&0xF > 1 {
		return netip.AddrPort{}, errProxyBlock
	}
	if length > proxyBlockMax {
		return netip.AddrPort{}, errProxyBlockSize
	}
	block := make([]byte, length)
	if _, err := io.ReadFull(r, block); err != nil {
		return netip.AddrPort{}, err
	}
	if local := head[0]&0xF == 0; local { // a health check by the proxy
		return netip.AddrPort{}, nil
	}
	return parseProxyBlock(head[1], block)
}

// parseProxyBlock parses the addresses of version 2. It ignores the TLVs behind them.
func parseProxyBlock(family byte, block []byte) (netip.AddrPort, error) {
	const unspecified, tcp4, tcp6, unixStream = 0x00, 0x11, 0x21, 0x31
	size := map[byte]int{tcp4: 4, tcp6: 16}[family]
	switch {
	case family == unspecified, family == unixStream:
		return netip.AddrPort{}, nil
	case size == 0 || len(block) < 2*size+4: // two addresses, two ports
		return netip.AddrPort{}, errProxyBlock
	}
	source, _ := netip.AddrFromSlice(block[:size])
	return netip.AddrPortFrom(source.Unmap(), binary.BigEndian.Uint16(block[2*size:])), nil
}
