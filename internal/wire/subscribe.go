package wire

import "strings"

// Filter is a topic filter of a SUBSCRIBE with its options (MQTT 5 3.8.3.1). In 3.x all options but the QoS are zero.
type Filter struct {
	Filter            string // well-formed UTF-8, never empty
	QoS               byte
	NoLocal           bool
	RetainAsPublished bool
	RetainHandling    byte // 0, 1 or 2
}

// Subscribe is a SUBSCRIBE (MQTT 5 3.8).
type Subscribe struct {
	PacketID   uint16 // never 0
	Identifier uint32 // 0: none
	MaxRate    string // value of Outcry's user property max_rate; empty: none
	Filters    []Filter
	Most       int // set by the caller: maximum number of filters; 0: no limit
}

// Unsubscribe is an UNSUBSCRIBE (MQTT 5 3.10).
type Unsubscribe struct {
	PacketID uint16 // never 0
	Filters  []string
	Most     int // set by the caller: maximum number of filters; 0: no limit
}

const (
	sharePrefix     = "$share/"
	maxRateProperty = "max_rate"
)

// DecodeSubscribe decodes the body of a SUBSCRIBE into s and reuses its array of filters. The filters are copies. The
// caller checks their wildcards, because each filter has its own answer.
func DecodeSubscribe(body []byte, version byte, s *Subscribe) error {
	*s = Subscribe{Filters: s.Filters[:0], Most: s.Most}
	id, b, err := cutPacketID(body)
	if err != nil {
		return err
	}
	s.PacketID = id
	props, b, err := cutProps(b, version)
	if err != nil {
		return err
	}
	scan := scanner{rest: props, in: inSubscribe}
	for scan.next() {
		switch {
		case scan.id == propSubscriptionIdentifier:
			s.Identifier = scan.num
		case scan.id == propUserProperty && string(scan.name) == maxRateProperty:
			s.MaxRate = string(scan.data)
		}
	}
	if scan.err != nil {
		return scan.err
	}
	return s.filters(b, version)
}

func (s *Subscribe) filters(b []byte, version byte) error {
	if len(b) == 0 {
		return errNoFilters
	}
	for len(b) > 0 {
		if s.Most != 0 && len(s.Filters) == s.Most {
			return errManyFilters
		}
		name, rest, err := cutFilter(b)
		if err != nil {
			return err
		}
		options, rest, err := cutByte(rest)
		if err != nil {
			return err
		}
		f := Filter{Filter: name}
		if err := f.options(options, version); err != nil {
			return err
		}
		s.Filters = append(s.Filters, f)
		b = rest
	}
	return nil
}

// options decodes the options byte of a filter. MQTT 3.1 leaves all bits but the QoS unused.
func (f *Filter) options(o byte, version byte) error {
	f.QoS = o & 3
	reserved := o & 0xC0
	switch version {
	case V5:
		f.NoLocal, f.RetainAsPublished, f.RetainHandling = o&4 != 0, o&8 != 0, o>>4&3
	case V311:
		reserved = o & 0xFC
	default:
		reserved = 0
	}
	switch {
	case reserved != 0:
		return errOptions
	case f.QoS == 3:
		return errSubscribeQoS
	case f.RetainHandling == 3:
		return errRetainHandling
	case f.NoLocal && strings.HasPrefix(f.Filter, sharePrefix):
		return errNoLocal
	}
	return nil
}

// DecodeUnsubscribe decodes the body of an UNSUBSCRIBE into u and reuses its array of filters. The filters are
// copies; they may be invalid.
func DecodeUnsubscribe(body []byte, version byte, u *Unsubscribe) error {
	*u = Unsubscribe{Filters: u.Filters[:0], Most: u.Most}
	id, b, err := cutPacketID(body)
	if err != nil {
		return err
	}
	u.PacketID = id
	props, b, err := cutProps(b, version)
	if err != nil {
		return err
	}
	s := scanner{rest: props, in: inUnsubscribe}
	for s.next() {
	}
	if s.err != nil {
		return s.err
	}
	return u.filters(b)
}

func (u *Unsubscribe) filters(b []byte) error {
	if len(b) == 0 {
		return errNoFilters
	}
	for len(b) > 0 {
		if u.Most != 0 && len(u.Filters) == u.Most {
			return errManyFilters
		}
		name, rest, err := cutFilter(b)
		if err != nil {
			return err
		}
		u.Filters = append(u.Filters, name)
		b = rest
	}
	return nil
}

// cutFilter reads a topic filter: UTF-8 and not empty [MQTT-3.8.3-1] [MQTT-3.10.3-1] [MQTT-4.7.3-1].
func cutFilter(b []byte) (filter string, rest []byte, err error) {
	s, rest, err := cutString(b)
	if err == nil && len(s) == 0 {
		err = errFilterEmpty
	}
	return string(s), rest, err
}
