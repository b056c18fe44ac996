package storage

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"time"
)

// Session is a session's owner, expiry and will. Its subscriptions and its flow are records apart, which have its number.
type Session struct {
	ClientID string // the record's key
	Number   uint64 // another session with the same client identifier gets another one
	User     string
	Expiry   time.Duration // from the end of its connection on, in whole milliseconds
	Offline  bool          // EndsAt, WillAt and Deferred mean something
	EndsAt   int64         // stamp
	Deferred bool          // the server closed the connection to stop, and its client has had no time to come back
	Will     *Will         // nil: it has none
	WillAt   int64         // stamp of its publication, if there is a will
}

// Will is the message that is published for a client that went without DISCONNECT, and the client as rules know it.
type Will struct {
	Topic    string
	QoS      byte
	Retain   bool
	Props    []byte // MQTT 5 properties that go on unaltered, in their wire form
	Payload  []byte
	Delay    time.Duration  // in whole milliseconds
	Expiry   time.Duration  // of the message from its publication on, in whole milliseconds; 0: none
	Assigned bool           // the broker chose the client identifier
	Claims   map[string]any // of the identity; the record has them as JSON
	Method   string         // of authentication
	Listener string
	Remote   string // the client's address
	Version  byte   // of the protocol
}

// A session's value is: a version byte, flags, its number, the user, its expiry, the stamp of its end if it is offline, and its
// will if it has one, with the stamp of the will's publication if it is offline.
const (
	sessionVersion = 1
	sessionOffline = 1
	sessionHasWill = 2
	sessionDefers  = 4
	willRetain     = 4 // beside qosBits
	willAssigned   = 8
)

var errClaims = errors.New("the claims are not a JSON object")

// Key is the session's key.
func (s *Session) Key() string { return s.ClientID }

// Append adds the session's value to b.
func (s *Session) Append(b []byte) []byte {
	flags := byte(0)
	if s.Offline {
		flags |= sessionOffline
	}
	if s.Will != nil {
		flags |= sessionHasWill
	}
	if s.Offline && s.Deferred {
		flags |= sessionDefers
	}
	b = append(b, sessionVersion, flags)
	b = binary.AppendUvarint(b, s.Number)
	b = appendBytes(b, s.User)
	b = appendDuration(b, s.Expiry)
	if s.Offline {
		b = binary.AppendVarint(b, s.EndsAt)
	}
	if s.Will != nil {
		b = s.Will.append(b)
		if s.Offline {
			b = binary.AppendVarint(b, s.WillAt)
		}
	}
	return b
}

// append encodes a will. Of claims that are no JSON nothing is kept: rules that ask for them say no then.
func (w *Will) append(b []byte) []byte {
	flags := w.QoS & qosBits
	if w.Retain {
		flags |= willRetain
	}
	if w.Assigned {
		flags |= willAssigned
	}
	b = append(b, flags)
	b = appendDuration(b, w.Delay)
	b = appendDuration(b, w.Expiry)
	b = appendBytes(b, w.Topic)
	b = appendBytes(b, w.Props)
	b = appendBytes(b, w.Payload)
	claims, err := json.Marshal(w.Claims)
	if err != nil {
		claims = nil
	}
	b = appendBytes(b, claims)
	b = appendBytes(b, w.Method)
	b = appendBytes(b, w.Listener)
	b = appendBytes(b, w.Remote)
	return append(b, w.Version)
}

// Parse reads a session. It shares no bytes with value.
func (s *Session) Parse(key string, value []byte) error {
	r := reader{rest: value}
	r.version(sessionVersion)
	flags := r.byte()
	*s = Session{ClientID: key, Number: r.uvarint(), User: string(r.bytes()), Expiry: r.duration(), Offline: flags&sessionOffline != 0}
	if s.Offline {
		s.Deferred = flags&sessionDefers != 0
		s.EndsAt = r.varint()
	}
	if flags&sessionHasWill != 0 {
		s.Will = r.will()
		if s.Offline {
			s.WillAt = r.varint()
		}
	}
	return r.result("session")
}

func (r *reader) will() *Will {
	flags := r.byte()
	w := &Will{
		QoS: r.qos(flags), Retain: flags&willRetain != 0, Assigned: flags&willAssigned != 0,
		Delay: r.duration(), Expiry: r.duration(), Topic: string(r.bytes()),
		Props: append([]byte(nil), r.bytes()...), Payload: append([]byte(nil), r.bytes()...),
	}
	if claims := r.bytes(); len(claims) > 0 {
		if err := json.Unmarshal(claims, &w.Claims); err != nil {
			r.fail(errClaims)
		}
	}
	w.Method, w.Listener, w.Remote, w.Version = string(r.bytes()), string(r.bytes()), string(r.bytes()), r.byte()
	return w
}
