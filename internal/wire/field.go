package wire

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"
)

// The cut functions read a field from the start of b and return the rest.

func cutByte(b []byte) (v byte, rest []byte, err error) {
	if len(b) < 1 {
		return 0, nil, errShort
	}
	return b[0], b[1:], nil
}

func cutUint16(b []byte) (v uint16, rest []byte, err error) {
	if len(b) < 2 {
		return 0, nil, errShort
	}
	return binary.BigEndian.Uint16(b), b[2:], nil
}

func cutUint32(b []byte) (v uint32, rest []byte, err error) {
	if len(b) < 4 {
		return 0, nil, errShort
	}
	return binary.BigEndian.Uint32(b), b[4:], nil
}

func cutVarint(b []byte) (v uint32, rest []byte, err error) {
	v, size, err := parseVarint(b)
	if err != nil {
		return 0, nil, err
	}
	if size == 0 {
		return 0, nil, errShort
	}
	return v, b[size:], nil
}

// cutData reads binary data with a length prefix (MQTT 5 1.5.6).
func cutData(b []byte) (data, rest []byte, err error) {
	n, b, err := cutUint16(b)
	if err != nil {
		return nil, nil, err
	}
	if len(b) < int(n) {
		return nil, nil, errShort
	}
	return b[:n:n], b[n:], nil
}

// cutString reads a UTF-8 string with a length prefix (MQTT 5 1.5.4).
func cutString(b []byte) (s, rest []byte, err error) {
	s, rest, err = cutData(b)
	if err == nil && !ValidUTF8(s) {
		return nil, nil, errUTF8
	}
	return s, rest, err
}

// cutPacketID reads a packet identifier, which is never 0 [MQTT-2.2.1-3].
func cutPacketID(b []byte) (id uint16, rest []byte, err error) {
	id, rest, err = cutUint16(b)
	if err == nil && id == 0 {
		return 0, nil, errPacketID
	}
	return id, rest, err
}

// cutProps reads properties with a length prefix (MQTT 5 2.2.2). Versions before 5 have none.
func cutProps(b []byte, version byte) (props, rest []byte, err error) {
	if version < V5 {
		return nil, b, nil
	}
	n, b, err := cutVarint(b)
	if err != nil {
		return nil, nil, err
	}
	if uint64(n) > uint64(len(b)) {
		return nil, nil, errShort
	}
	return b[:n:n], b[n:], nil
}

// ValidUTF8 reports whether b is well-formed UTF-8 for MQTT: no surrogates [MQTT-1.5.4-1], no U+0000 [MQTT-1.5.4-2].
func ValidUTF8(b []byte) bool { return bytes.IndexByte(b, 0) < 0 && utf8.Valid(b) }

func hasWildcard(topic []byte) bool {
	return bytes.IndexByte(topic, '+') >= 0 || bytes.IndexByte(topic, '#') >= 0
}

// appendString appends s, at most 65,535 bytes, with a length prefix.
func appendString[T string | []byte](dst []byte, s T) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(s)))
	return append(dst, s...)
}
