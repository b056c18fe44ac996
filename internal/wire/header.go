package wire

const (
	flagRetain byte = 1 << 0
	flagDup    byte = 1 << 3
)

// Header is the fixed header of a packet (MQTT 5 2.1).
type Header struct {
	Type      Type
	Flags     byte // the lower four bits of the first byte
	Remaining int  // bytes behind the fixed header
	Size      int  // bytes of the fixed header
}

// ParseHeader parses the fixed header at the start of b. If b ends within it, ok is false and err is nil. It refuses
// wrong reserved flags and a remaining length that is not in its shortest form. The caller checks that a client may
// send this type now.
func ParseHeader(b []byte) (h Header, ok bool, err error) {
	if len(b) == 0 {
		return h, false, nil
	}
	h.Type, h.Flags = Type(b[0]>>4), b[0]&0x0F
	if err := checkFlags(h.Type, h.Flags); err != nil {
		return h, false, err
	}
	return h.length(b)
}

// ParseHeaderV31 is ParseHeader for MQTT 3.1, where resent PUBREL, SUBSCRIBE and UNSUBSCRIBE packets have DUP (MQTT
// 3.1 2.1).
func ParseHeaderV31(b []byte) (h Header, ok bool, err error) {
	if len(b) == 0 {
		return h, false, nil
	}
	h.Type, h.Flags = Type(b[0]>>4), b[0]&0x0F
	flags := h.Flags
	if h.Type != TypePublish && fixedFlags[h.Type] != 0 {
		flags &^= flagDup
	}
	if err := checkFlags(h.Type, flags); err != nil {
		return h, false, err
	}
	return h.length(b)
}

// fixedFlags are the reserved flags that must be set [MQTT-2.1.3-1].
var fixedFlags = [16]byte{TypePubrel: 2, TypeSubscribe: 2, TypeUnsubscribe: 2}

func checkFlags(t Type, flags byte) error {
	switch {
	case t == TypePublish:
		return checkPublishFlags(flags)
	case t == 0:
		return errReserved
	case flags != fixedFlags[t]:
		return errFlags
	}
	return nil
}

func checkPublishFlags(flags byte) error {
	switch qos := flags >> 1 & 3; {
	case qos == 3:
		return errQoS3
	case qos == 0 && flags&flagDup != 0:
		return errDup
	}
	return nil
}

// length parses the remaining length of the packet at the start of b.
func (h Header) length(b []byte) (Header, bool, error) {
	n, size, err := parseVarint(b[1:])
	if err != nil || size == 0 {
		return h, false, err
	}
	h.Remaining, h.Size = int(n), 1+size
	return h, true, nil
}

// parseVarint parses the variable byte integer at the start of b. If b ends within it, size is 0 and err is nil.
func parseVarint(b []byte) (n uint32, size int, err error) {
	for i, c := range b {
		n |= uint32(c&0x7F) << (7 * i)
		switch {
		case c >= 0x80 && i == 3:
			return 0, 0, errVarintLong
		case c >= 0x80:
			continue
		case c == 0 && i > 0:
			return 0, 0, errVarintPadded
		}
		return n, i + 1, nil
	}
	return 0, 0, nil
}

// appendVarint appends n, which is below 2^28 (MQTT 5 1.5.5).
func appendVarint(dst []byte, n int) []byte {
	for n >= 0x80 {
		dst = append(dst, byte(n)|0x80)
		n >>= 7
	}
	return append(dst, byte(n))
}

// varintSize returns the length in bytes of n as a variable byte integer.
func varintSize(n int) int {
	switch {
	case n < 1<<7:
		return 1
	case n < 1<<14:
		return 2
	case n < 1<<21:
		return 3
	}
	return 4
}
