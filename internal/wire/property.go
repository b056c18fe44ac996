package wire

// The identifiers of the properties that a client may send (MQTT 5 table 2-4).
const (
	propPayloadFormat          = 0x01
	propMessageExpiry          = 0x02
	propContentType            = 0x03
	propResponseTopic          = 0x08
	propCorrelationData        = 0x09
	propSubscriptionIdentifier = 0x0B
	propSessionExpiry          = 0x11
	propAssignedClientID       = 0x12
	propServerKeepAlive        = 0x13
	propAuthMethod             = 0x15
	propAuthData               = 0x16
	propRequestProblemInfo     = 0x17
	propWillDelay              = 0x18
	propRequestResponseInfo    = 0x19
	propResponseInformation    = 0x1A
	propServerReference        = 0x1C
	propReasonString           = 0x1F
	propReceiveMaximum         = 0x21
	propTopicAliasMaximum      = 0x22
	propTopicAlias             = 0x23
	propMaximumQoS             = 0x24
	propRetainAvailable        = 0x25
	propUserProperty           = 0x26
	propMaximumPacketSize      = 0x27
	propWildcardAvailable      = 0x28
	propIdentifiersAvailable   = 0x29
	propSharedAvailable        = 0x2A
	propCount                  = 0x2B
)

// kind is the data type of a property.
type kind byte

const (
	aByte kind = iota + 1
	twoBytes
	fourBytes
	aVarint
	aString
	someData
	stringPair
)

// packetSet is a set of packets (or a will) that may have a property.
type packetSet byte

const (
	inConnect packetSet = 1 << iota
	inWill
	inPublish
	inAck
	inSubscribe
	inUnsubscribe
	inDisconnect
	inAuth
)

// properties holds the data type of every property, and the client's packets that may have it: none, if only servers
// send it. Identifiers without a kind are unknown.
var properties = [propCount]struct {
	kind kind
	in   packetSet
}{
	propPayloadFormat:          {aByte, inPublish | inWill},
	propMessageExpiry:          {fourBytes, inPublish | inWill},
	propContentType:            {aString, inPublish | inWill},
	propResponseTopic:          {aString, inPublish | inWill},
	propCorrelationData:        {someData, inPublish | inWill},
	propSubscriptionIdentifier: {aVarint, inSubscribe},
	propSessionExpiry:          {fourBytes, inConnect | inDisconnect},
	propAssignedClientID:       {aString, 0},
	propServerKeepAlive:        {twoBytes, 0},
	propAuthMethod:             {aString, inConnect | inAuth},
	propAuthData:               {someData, inConnect | inAuth},
	propRequestProblemInfo:     {aByte, inConnect},
	propWillDelay:              {fourBytes, inWill},
	propRequestResponseInfo:    {aByte, inConnect},
	propResponseInformation:    {aString, 0},
	propServerReference:        {aString, 0},
	propReasonString:           {aString, inAck | inDisconnect | inAuth},
	propReceiveMaximum:         {twoBytes, inConnect},
	propTopicAliasMaximum:      {twoBytes, inConnect},
	propTopicAlias:             {twoBytes, inPublish},
	propMaximumQoS:             {aByte, 0},
	propRetainAvailable:        {aByte, 0},
	propUserProperty: {stringPair, inConnect | inWill | inPublish | inAck | inSubscribe | inUnsubscribe |
		inDisconnect | inAuth},
	propMaximumPacketSize:    {fourBytes, inConnect},
	propWildcardAvailable:    {aByte, 0},
	propIdentifiersAvailable: {aByte, 0},
	propSharedAvailable:      {aByte, 0},
}

// scanner reads properties one by one, and stops at the first invalid one. It checks every rule that concerns one
// property alone.
type scanner struct {
	rest []byte
	in   packetSet
	seen uint64 // bits of the identifiers so far
	err  error

	// The current property.
	id   byte
	raw  []byte // with its identifier
	num  uint32 // value of the four kinds of integer
	data []byte // a string, binary data, or a pair's value
	name []byte // a pair's name
}

// next reads the next property. It returns false at the end, or with err set.
func (s *scanner) next() bool {
	if len(s.rest) == 0 {
		return false
	}
	from := s.rest
	s.id = from[0]
	if s.err = s.admit(); s.err != nil {
		return false
	}
	if s.rest, s.err = s.value(from[1:]); s.err != nil {
		return false
	}
	s.raw = from[:len(from)-len(s.rest)]
	s.err = s.check()
	return s.err == nil
}

// admit checks that the current property may stand here. The first byte of a two byte identifier is an unknown
// identifier.
func (s *scanner) admit() error {
	switch {
	case s.id >= propCount || properties[s.id].kind == 0:
		return errPropertyUnknown
	case properties[s.id].in&s.in == 0 && s.id == propSubscriptionIdentifier && s.in == inPublish:
		return errIdentifierSent
	case properties[s.id].in&s.in == 0:
		return errPropertyPlace
	case s.seen>>s.id&1 != 0 && s.id != propUserProperty:
		return errPropertyRepeated
	}
	s.seen |= 1 << s.id
	return nil
}

// value reads the current property's value from b, and returns the rest.
func (s *scanner) value(b []byte) (rest []byte, err error) {
	switch properties[s.id].kind {
	case aByte:
		var v byte
		v, rest, err = cutByte(b)
		s.num = uint32(v)
	case twoBytes:
		var v uint16
		v, rest, err = cutUint16(b)
		s.num = uint32(v)
	case fourBytes:
		s.num, rest, err = cutUint32(b)
	case aVarint:
		s.num, rest, err = cutVarint(b)
	case someData:
		s.data, rest, err = cutData(b)
	case aString:
		s.data, rest, err = cutString(b)
	case stringPair:
		if s.name, rest, err = cutString(b); err == nil {
			s.data, rest, err = cutString(rest)
		}
	}
	if err == errShort {
		err = errPropertyLength
	}
	return rest, err
}

// check checks the current property's value.
func (s *scanner) check() error {
	switch s.id {
	case propPayloadFormat, propRequestProblemInfo, propRequestResponseInfo:
		if s.num > 1 {
			return errNotBoolean
		}
	case propResponseTopic:
		if len(s.data) == 0 || hasWildcard(s.data) {
			return errResponseTopic
		}
	case propTopicAlias:
		return unlessZero(s.num, errAliasZero)
	case propSubscriptionIdentifier:
		return unlessZero(s.num, errIdentifierZero)
	case propReceiveMaximum:
		return unlessZero(s.num, errReceiveMaximum)
	case propMaximumPacketSize:
		return unlessZero(s.num, errMaximumPacket)
	}
	return nil
}

func unlessZero(n uint32, e *Error) error {
	if n == 0 {
		return e
	}
	return nil
}

// has reports whether a property was read.
func (s *scanner) has(id byte) bool { return s.seen>>id&1 != 0 }
