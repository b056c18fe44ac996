package wire

import (
	"bytes"
	"fmt"
)

// maxString is the most bytes that a string or binary data has on the wire (MQTT 5 1.5.4, 1.5.6).
const maxString = 65535

// Forwarded are the properties that a server passes on unaltered with a message, spelled out: those in Publish.Props.
type Forwarded struct {
	PayloadFormat   byte // 1: the payload is UTF-8; 0: it is bytes, or nothing is said about it
	ContentType     string
	ResponseTopic   string
	CorrelationData []byte // nil: absent
	User            []UserProperty
}

// UserProperty is a name and its value; names may repeat, and their order is kept [MQTT-3.3.2-18].
type UserProperty struct{ Name, Value string }

// DecodeProps spells out the properties of a Publish or a Will. The result has copies.
func DecodeProps(props []byte) (Forwarded, error) {
	var f Forwarded
	s := scanner{rest: props, in: inPublish}
	for s.next() {
		switch s.id {
		case propPayloadFormat:
			f.PayloadFormat = byte(s.num)
		case propContentType:
			f.ContentType = string(s.data)
		case propResponseTopic:
			f.ResponseTopic = string(s.data)
		case propCorrelationData:
			f.CorrelationData = bytes.Clone(s.data)
		case propUserProperty:
			f.User = append(f.User, UserProperty{string(s.name), string(s.data)})
		default:
			return Forwarded{}, errNotForwarded
		}
	}
	if s.err != nil {
		return Forwarded{}, s.err
	}
	return f, nil
}

// Append appends the properties in their wire form to dst, without a length before them. Those that are zero are absent.
// What does not pass Check must not be sent.
func (f Forwarded) Append(dst []byte) []byte {
	if f.PayloadFormat != 0 {
		dst = append(dst, propPayloadFormat, f.PayloadFormat)
	}
	if f.ContentType != "" {
		dst = appendString(append(dst, propContentType), f.ContentType)
	}
	if f.ResponseTopic != "" {
		dst = appendString(append(dst, propResponseTopic), f.ResponseTopic)
	}
	if f.CorrelationData != nil {
		dst = appendString(append(dst, propCorrelationData), f.CorrelationData)
	}
	for _, u := range f.User {
		dst = appendString(append(dst, propUserProperty), u.Name)
		dst = appendString(dst, u.Value)
	}
	return dst
}

// Check tells what is wrong with properties that come from a program rather than from the wire.
func (f Forwarded) Check() error {
	if f.PayloadFormat > 1 {
		return fmt.Errorf("payload format is %d, want 0 or 1", f.PayloadFormat)
	}
	if len(f.CorrelationData) > maxString {
		return fmt.Errorf("correlation data has %d bytes, want at most %d", len(f.CorrelationData), maxString)
	}
	if hasWildcard([]byte(f.ResponseTopic)) {
		return fmt.Errorf("response topic %q has a wildcard", f.ResponseTopic)
	}
	if err := checkString("content type", f.ContentType); err != nil {
		return err
	}
	if err := checkString("response topic", f.ResponseTopic); err != nil {
		return err
	}
	for _, u := range f.User {
		if err := checkString("name of a user property", u.Name); err != nil {
			return err
		}
		if err := checkString("value of a user property", u.Value); err != nil {
			return err
		}
	}
	return nil
}

func checkString(what, s string) error {
	if len(s) > maxString {
		return fmt.Errorf("%s has %d bytes, want at most %d", what, len(s), maxString)
	}
	if !ValidUTF8([]byte(s)) {
		return fmt.Errorf("%s is not UTF-8, or has U+0000", what)
	}
	return nil
}
