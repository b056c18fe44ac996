package storage

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/outcry-mqtt/outcry/broker/topic"
)

// Subscription is one topic filter of a session, with its options (MQTT 5 3.8.3.1). Its key is the session's number and the
// filter with the $share prefix.
type Subscription struct {
	Session  uint64 // its number
	Share    string // the share name; empty: the subscription is not shared
	Filter   string // without the $share prefix
	ID       uint32 // subscription identifier; 0: none
	QoS      byte
	Handling byte // of retained messages
	NoLocal  bool
	Retain   bool          // retain as published
	Replays  bool          // its retained messages have not all been sent
	Every    time.Duration // the least time between two messages of a topic, because of a maximum rate; 0: none
}

// A subscription's value is: a version byte, the options, the subscription identifier, and the interval of a maximum rate in
// nanoseconds if it has one.
const (
	subscriptionVersion = 1
	optionNoLocal       = 4 // beside qosBits
	optionRetain        = 8
	optionHandling      = 4 // bits to the left
	optionReplays       = 64
)

// Key is the subscription's key.
func (s *Subscription) Key() string { return NumberKey(s.Session) + topic.JoinShare(s.Share, s.Filter) }

// Append adds the subscription's value to b.
func (s *Subscription) Append(b []byte) []byte {
	options := s.QoS&qosBits | s.Handling<<optionHandling
	if s.NoLocal {
		options |= optionNoLocal
	}
	if s.Retain {
		options |= optionRetain
	}
	if s.Replays {
		options |= optionReplays
	}
	b = binary.AppendUvarint(append(b, subscriptionVersion, options), uint64(s.ID))
	if s.Every != 0 {
		b = binary.AppendUvarint(b, uint64(s.Every))
	}
	return b
}

// Parse reads a subscription. It refuses a filter that is none.
func (s *Subscription) Parse(key string, value []byte) (err error) {
	*s = Subscription{}
	r := reader{rest: value}
	r.version(subscriptionVersion)
	text := key[min(keyBytes, len(key)):]
	s.Session = r.numberKey(key[:len(key)-len(text)])
	if s.Share, s.Filter, err = topic.SplitShare(text); err == nil {
		err = topic.CheckFilter(s.Filter)
	}
	if err != nil {
		r.fail(err)
	}
	options := r.byte()
	s.QoS, s.Handling = r.qos(options), options>>optionHandling&3
	s.NoLocal, s.Retain, s.Replays = options&optionNoLocal != 0, options&optionRetain != 0, options&optionReplays != 0
	s.ID = uint32(r.upTo(math.MaxUint32))
	if len(r.rest) > 0 {
		s.Every = time.Duration(min(r.uvarint(), math.MaxInt64))
	}
	return r.result("subscription")
}
