package wire

import (
	"bytes"
	"strings"

	"github.com/mochi-mqtt/server/v2/packets"
)

// The packets of this file are rare, so mochi's encoders write them. These are correct for this use: zero properties
// are absent, and without a maximum size a packet is never shortened. They return no errors.

// Connack is the answer to a CONNECT (MQTT 5 3.2). 3.x has SessionPresent and Code only.
type Connack struct {
	SessionPresent bool // not sent with a refusing code [MQTT-3.2.2-6], nor to 3.1
	Code           byte // an MQTT 5 code; for 3.x see ConnackCode3

	// The properties. Zero values are absent, and mean the default in their comment.
	SessionExpiry       *uint32 // seconds; nil: the client's request
	ReceiveMaximum      uint16  // 65,535
	MaximumQoS          *byte   // 0 or 1; nil: 2
	MaximumPacketSize   uint32  // bytes; no maximum
	AssignedClientID    string
	TopicAliasMaximum   uint16 // no aliases
	ReasonString        string
	ServerKeepAlive     uint16 // seconds
	HasServerKeepAlive  bool   // false: the client's request
	ResponseInformation string
	ServerReference     string
	AuthMethod          string
	AuthData            []byte
}

// AppendConnack appends a CONNACK to dst.
func AppendConnack(dst []byte, version byte, c *Connack) []byte {
	p := header(TypeConnack, version)
	p.SessionPresent = c.SessionPresent && c.Code == Success && version != V31
	p.ReasonCode = c.Code
	if version != V5 {
		p.ReasonCode = ConnackCode3(c.Code)
	}
	p.Properties = c.properties()
	return encode(dst, p.ConnackEncode)
}

func (c *Connack) properties() packets.Properties {
	p := packets.Properties{
		ReceiveMaximum:       c.ReceiveMaximum,
		MaximumPacketSize:    c.MaximumPacketSize,
		AssignedClientID:     sendable(c.AssignedClientID),
		TopicAliasMaximum:    c.TopicAliasMaximum,
		ReasonString:         sendable(c.ReasonString),
		ServerKeepAlive:      c.ServerKeepAlive,
		ServerKeepAliveFlag:  c.HasServerKeepAlive,
		ResponseInfo:         sendable(c.ResponseInformation),
		ServerReference:      sendable(c.ServerReference),
		AuthenticationMethod: sendable(c.AuthMethod),
		AuthenticationData:   c.AuthData,
	}
	if c.SessionExpiry != nil {
		p.SessionExpiryInterval, p.SessionExpiryIntervalFlag = *c.SessionExpiry, true
	}
	if c.MaximumQoS != nil {
		p.MaximumQos, p.MaximumQosFlag = *c.MaximumQoS, true
	}
	return p
}

// AppendSuback appends a SUBACK with a code for each filter to dst. For 3.x every failure is 0x80.
func AppendSuback(dst []byte, version byte, id uint16, codes []byte) []byte {
	p := header(TypeSuback, version)
	p.PacketID = id
	p.ReasonCodes = codes
	if version != V5 {
		p.ReasonCodes = make([]byte, len(codes))
		for i, c := range codes {
			p.ReasonCodes[i] = min(c, UnspecifiedError)
		}
	}
	return encode(dst, p.SubackEncode)
}

// AppendUnsuback appends an UNSUBACK to dst. For 3.x it has no codes.
func AppendUnsuback(dst []byte, version byte, id uint16, codes []byte) []byte {
	p := header(TypeUnsuback, version)
	p.PacketID = id
	p.ReasonCodes = codes
	return encode(dst, p.UnsubackEncode)
}

// AppendDisconnect appends a DISCONNECT to dst. Servers send it in MQTT 5 only [MQTT-3.14.0-1]. An empty reason or
// server reference is absent.
func AppendDisconnect(dst []byte, code byte, reason, serverReference string) []byte {
	p := header(TypeDisconnect, V5)
	p.ReasonCode = code
	p.Properties.ReasonString = sendable(reason)
	p.Properties.ServerReference = sendable(serverReference)
	return encode(dst, p.DisconnectEncode)
}

// AppendAuth appends an AUTH to dst.
func AppendAuth(dst []byte, a *Auth) []byte {
	p := header(TypeAuth, V5)
	p.ReasonCode = a.Code
	p.Properties.AuthenticationMethod = sendable(a.Method)
	p.Properties.AuthenticationData = a.Data
	return encode(dst, p.AuthEncode)
}

func header(t Type, version byte) *packets.Packet {
	return &packets.Packet{
		FixedHeader:     packets.FixedHeader{Type: byte(t)},
		ProtocolVersion: version,
		Mods:            packets.Mods{AllowResponseInfo: true},
	}
}

// encode appends the output of one of mochi's encoders to dst.
func encode(dst []byte, encoder func(*bytes.Buffer) error) []byte {
	buf := bytes.NewBuffer(dst)
	_ = encoder(buf)
	return buf.Bytes()
}

// sendable makes a string from a hook or an error valid for the wire: UTF-8 without U+0000, at most 65,535 bytes.
func sendable(s string) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "")
	if len(s) > maxString {
		s = strings.ToValidUTF8(s[:maxString], "")
	}
	return s
}
