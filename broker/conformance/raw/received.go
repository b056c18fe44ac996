package raw

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"syscall"
)

// Received is a packet from a server. Fields that its type does not have are zero.
type Received struct {
	Type           Type
	Bytes          []byte // the whole packet
	Dup, Retain    bool
	QoS            byte
	ID             int
	Topic, Payload string
	Code           byte   // reason code; 0 if it was omitted
	Codes          []byte // of SUBACK and UNSUBACK
	SessionPresent bool
	Props          Props
}

// String describes the packet for failed tests.
func (p *Received) String() string {
	s := p.Type.String()
	switch p.Type {
	case PUBLISH:
		s += fmt.Sprintf(" %q %.60q qos=%d id=%d dup=%t retain=%t %v", p.Topic, p.Payload, p.QoS, p.ID, p.Dup, p.Retain, p.Props)
	case SUBACK, UNSUBACK:
		s += fmt.Sprintf(" id=%d codes=% X %v", p.ID, p.Codes, p.Props)
	case PINGRESP:
	default:
		s += fmt.Sprintf(" id=%d code=0x%02X %v", p.ID, p.Code, p.Props)
	}
	return s
}

// ReadPacket reads the next packet that a server sends to a client of this version, with all checks of Client. It
// returns io.EOF if the server has closed the connection.
func ReadPacket(r *bufio.Reader, version byte) (*Received, error) {
	header, err := r.ReadByte()
	if err != nil {
		return nil, closeError(err)
	}
	raw := []byte{header}
	size := 0
	for i := range 4 {
		b, err := r.ReadByte()
		if err != nil {
			return nil, closeError(err)
		}
		raw = append(raw, b)
		size |= int(b&0x7F) << (7 * i)
		if b < 0x80 {
			break
		}
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, closeError(err)
	}
	p, err := decode(header, body, version)
	if err != nil {
		return nil, fmt.Errorf("%w in %02X % X", err, raw, body[:min(len(body), 64)])
	}
	p.Bytes = append(raw, body...)
	return p, nil
}

// closeError maps all errors of a closed connection to io.EOF.
func closeError(err error) error {
	if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.ErrUnexpectedEOF) {
		return io.EOF
	}
	return err
}

// decode decodes a server's packet and refuses one that the specification does not allow.
func decode(header byte, body []byte, version byte) (*Received, error) {
	p := &Received{Type: Type(header >> 4)}
	r := &reader{b: body}
	if p.Type != PUBLISH && header != p.Type.Header() {
		return nil, fmt.Errorf("%v has flags 0x%X", p.Type, header&15)
	}
	var err error
	switch p.Type {
	case CONNACK:
		err = p.connack(r, version)
	case PUBLISH:
		err = p.publish(header, r, version)
	case PUBACK, PUBREC, PUBREL, PUBCOMP:
		err = p.ack(r, version)
	case SUBACK, UNSUBACK:
		err = p.suback(r, version)
	case PINGRESP:
	case DISCONNECT, AUTH:
		if version < V5 {
			return nil, fmt.Errorf("a server of version %d may not send %v", version, p.Type)
		}
		err = p.reason(r, version)
	default:
		return nil, fmt.Errorf("a server may not send %v", p.Type)
	}
	switch {
	case err != nil:
		return nil, err
	case r.bad:
		return nil, fmt.Errorf("%v is cut short", p.Type)
	case len(r.b) > 0:
		return nil, fmt.Errorf("%v has %d bytes too many", p.Type, len(r.b))
	}
	return p, p.check(version)
}

func (p *Received) connack(r *reader, version byte) (err error) {
	flags := r.u8()
	p.SessionPresent = flags == 1
	p.Code = r.u8()
	if flags > 1 {
		return fmt.Errorf("CONNACK has flags 0x%02X [MQTT-3.2.2-1]", flags)
	}
	if version >= V5 {
		p.Props, err = r.props("CONNACK")
	}
	return err
}

func (p *Received) publish(header byte, r *reader, version byte) (err error) {
	p.Dup, p.QoS, p.Retain = header&8 != 0, header>>1&3, header&1 != 0
	p.Topic = r.str()
	if p.QoS > 0 {
		p.ID = r.u16()
	}
	if version >= V5 {
		if p.Props, err = r.props("PUBLISH"); err != nil {
			return err
		}
	}
	p.Payload, r.b = string(r.b), nil
	return nil
}

func (p *Received) ack(r *reader, version byte) error {
	p.ID = r.u16()
	return p.reason(r, version)
}

// reason reads the reason code and properties. Both, or the properties alone, may be omitted.
func (p *Received) reason(r *reader, version byte) (err error) {
	if version < V5 || len(r.b) == 0 {
		return nil
	}
	p.Code = r.u8()
	if len(r.b) > 0 {
		p.Props, err = r.props(p.Type.String())
	}
	return err
}

func (p *Received) suback(r *reader, version byte) (err error) {
	p.ID = r.u16()
	if version >= V5 {
		if p.Props, err = r.props(p.Type.String()); err != nil {
			return err
		}
	}
	if p.Type == SUBACK || version >= V5 {
		p.Codes, r.b = r.b, nil
	}
	return nil
}

// codes are the reason codes that a server may use in each MQTT 5 packet (2.4).
var codes = map[Type]string{
	CONNACK:    "\x00\x80\x81\x82\x83\x84\x85\x86\x87\x88\x89\x8A\x8C\x90\x95\x97\x99\x9A\x9B\x9C\x9D\x9F",
	PUBACK:     "\x00\x10\x80\x83\x87\x90\x91\x97\x99",
	PUBREC:     "\x00\x10\x80\x83\x87\x90\x91\x97\x99",
	PUBREL:     "\x00\x92",
	PUBCOMP:    "\x00\x92",
	SUBACK:     "\x00\x01\x02\x80\x83\x87\x8F\x91\x97\x9E\xA1\xA2",
	UNSUBACK:   "\x00\x11\x80\x83\x87\x8F\x91",
	DISCONNECT: "\x00\x80\x81\x82\x83\x87\x89\x8B\x8D\x8E\x8F\x90\x93\x94\x95\x96\x97\x98\x99\x9A\x9B\x9C\x9D\x9E\x9F\xA0\xA1\xA2",
	AUTH:       "\x00\x18",
}

func (p *Received) allowed(code byte, version byte) bool {
	set := codes[p.Type]
	switch {
	case version < V5 && p.Type == CONNACK:
		set = "\x00\x01\x02\x03\x04\x05"
	case version < V5 && p.Type == SUBACK:
		set = "\x00\x01\x02\x80" // [MQTT-3.9.3-2] of 3.1.1
	}
	return strings.Contains(set, string([]byte{code}))
}

// check checks rules across a packet's fields.
func (p *Received) check(version byte) error {
	switch p.Type {
	case PUBLISH:
		return p.checkPublish()
	case PINGRESP:
		return nil
	case SUBACK, UNSUBACK:
		if len(p.Codes) == 0 && (p.Type == SUBACK || version >= V5) {
			return fmt.Errorf("%v has no codes", p.Type)
		}
	}
	for _, code := range append(slices.Clone(p.Codes), p.Code) {
		if len(p.Codes) > 0 && code == p.Code && code == 0 {
			continue
		}
		if !p.allowed(code, version) {
			return fmt.Errorf("%v has code 0x%02X", p.Type, code)
		}
	}
	if p.ID == 0 && p.Type != CONNACK && p.Type != DISCONNECT && p.Type != AUTH {
		return fmt.Errorf("%v has packet identifier 0", p.Type)
	}
	if p.Type == CONNACK && p.Code != 0 && p.SessionPresent {
		return errors.New("CONNACK refuses and has session present [MQTT-3.2.2-6]")
	}
	return nil
}

func (p *Received) checkPublish() error {
	switch {
	case p.QoS == 3:
		return errors.New("PUBLISH has QoS 3 [MQTT-3.3.1-4]")
	case p.QoS == 0 && p.Dup:
		return errors.New("PUBLISH has QoS 0 and DUP [MQTT-3.3.1-2]")
	case p.QoS > 0 && p.ID == 0:
		return errors.New("PUBLISH has packet identifier 0")
	case !wellFormed(p.Topic):
		return errors.New("PUBLISH has a topic that is ill-formed UTF-8 [MQTT-3.3.2-1]")
	case strings.ContainsAny(p.Topic, "#+"):
		return fmt.Errorf("PUBLISH has wildcards in its topic %q [MQTT-3.3.2-2]", p.Topic)
	case p.Topic == "" && !p.Props.Has(TopicAlias):
		return errors.New("PUBLISH has neither topic nor alias")
	case p.Props.Num(TopicAlias) == 0:
		return errors.New("PUBLISH has topic alias 0 [MQTT-3.3.2-8]")
	}
	return nil
}
