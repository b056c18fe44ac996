package wire

import (
	"bytes"
	"fmt"
)

// maxString is the maximum size in bytes of a string or binary data (MQTT 5 1.5.4, 1.5.6).
const maxString = 65535

// Forwarded are the decoded properties that a server forwards with a message: those in Publish.Props.
type Forwarded struct {
	PayloadFormat   byte // 1: the payload is UTF-8; 0: bytes, or unspecified
	ContentType     string
	ResponseTopic   string
	CorrelationData []byte // nil: absent
	User            []UserProperty
}

// UserProperty is a name and its value. Names may repeat, and their order is kept [MQTT-3.3.2-18].
type UserProperty struct{ Name, Value string }

// DecodeProps decodes the properties of a Publish or a Will. The result holds copies.
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

// Append appends the properties in wire form to dst, without a length prefix. Zero properties are absent. The
// properties must pass Check.
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

// Check checks properties that come from a program and not from the wire.
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
