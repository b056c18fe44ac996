package wire

import "bytes"

// Connect is a CONNECT: the client, its credentials, its will and its session options (MQTT 5 3.1).
type Connect struct {
	Version     byte // V31, V311 or V5; 0 if unknown
	Bridge      bool // a 3.x client declares itself a bridge, by bridgeBit in the protocol level
	CleanStart  bool // 'clean session' in 3.x
	KeepAlive   uint16
	ClientID    string // empty: the server assigns one
	Username    string
	HasUsername bool
	Password    []byte // never logged
	HasPassword bool
	Will        *Will // nil if there is none

	// The properties of MQTT 5. Earlier versions have their defaults.
	SessionExpiry       uint32 // seconds; all ones: never
	HasSessionExpiry    bool
	ReceiveMaximum      uint16 // at least 1; 65,535 if absent
	MaximumPacketSize   uint32 // bytes; 0: no maximum
	TopicAliasMaximum   uint16
	RequestResponseInfo bool
	RequestProblemInfo  bool // true if absent
	AuthMethod          string
	HasAuthMethod       bool
	AuthData            []byte // nil if there is none
	UserProperties      []byte // in wire form, concatenated
}

// Will is the will message (MQTT 5 3.1.2.5). Its topic is well-formed UTF-8; the caller checks that it is a topic
// name.
type Will struct {
	Topic     string
	Payload   []byte
	QoS       byte
	Retain    bool
	Delay     uint32 // seconds
	Expiry    uint32 // seconds
	HasExpiry bool
	Props     []byte // the forwarded properties, as in Publish
}

// The connect flags (MQTT 5 3.1.2.3).
const (
	connectReserved   byte = 1 << 0
	connectClean      byte = 1 << 1
	connectWill       byte = 1 << 2
	connectWillRetain byte = 1 << 5
	connectPassword   byte = 1 << 6
	connectUsername   byte = 1 << 7
)

// bridgeBit is set in the protocol level of MQTT 3.1 and 3.1.1 by bridges such as Mosquitto's. The standard does not
// define it: other servers refuse the level, and the bridge reconnects without it.
const bridgeBit byte = 0x80

// DecodeConnect decodes the body of a CONNECT of any version into c, which copies everything. If it fails, c has the
// fields decoded so far, and the version if it is known.
func DecodeConnect(body []byte, c *Connect) error {
	*c = Connect{ReceiveMaximum: 65535, RequestProblemInfo: true}
	b, err := c.protocol(body)
	if err != nil {
		return err
	}
	flags, b, err := cutByte(b)
	if err != nil {
		return err
	}
	if err := c.checkFlags(flags); err != nil {
		return err
	}
	c.CleanStart = flags&connectClean != 0
	if c.KeepAlive, b, err = cutUint16(b); err != nil {
		return err
	}
	if b, err = c.properties(b); err != nil {
		return err
	}
	return c.payload(flags, b)
}

// protocol decodes the protocol name and version.
func (c *Connect) protocol(b []byte) (rest []byte, err error) {
	name, b, err := cutData(b)
	if err != nil {
		return nil, err
	}
	is31 := string(name) == "MQIsdp"
	if !is31 && string(name) != "MQTT" {
		return nil, errProtocolName
	}
	version, b, err := cutByte(b)
	if err != nil {
		return nil, err
	}
	level := version &^ bridgeBit
	c.Bridge = version != level && level < V5
	if c.Bridge {
		version = level
	}
	if is31 != (version == V31) || version < V31 || version > V5 {
		return nil, errProtocolLevel
	}
	c.Version = version
	return b, nil
}

// checkFlags checks the connect flags. MQTT 3.1 leaves the reserved flag unused, and ignores the will flags without a
// will.
func (c *Connect) checkFlags(flags byte) error {
	willQoS := flags >> 3 & 3
	switch {
	case flags&connectReserved != 0 && c.Version > V31:
		return errConnectFlag
	case flags&connectWill != 0 && willQoS == 3:
		return errWillQoS3
	case flags&connectWill == 0 && (willQoS != 0 || flags&connectWillRetain != 0) && c.Version > V31:
		return errWillFlags
	case flags&connectPassword != 0 && flags&connectUsername == 0 && c.Version < V5:
		return errPasswordAlone
	}
	return nil
}

func (c *Connect) properties(b []byte) (rest []byte, err error) {
	props, rest, err := cutProps(b, c.Version)
	if err != nil {
		return nil, err
	}
	s := scanner{rest: props, in: inConnect}
	for s.next() {
		c.property(&s)
	}
	if s.err == nil && s.has(propAuthData) && !s.has(propAuthMethod) {
		return nil, errAuthData
	}
	return rest, s.err
}

func (c *Connect) property(s *scanner) {
	switch s.id {
	case propSessionExpiry:
		c.SessionExpiry, c.HasSessionExpiry = s.num, true
	case propReceiveMaximum:
		c.ReceiveMaximum = uint16(s.num)
	case propMaximumPacketSize:
		c.MaximumPacketSize = s.num
	case propTopicAliasMaximum:
		c.TopicAliasMaximum = uint16(s.num)
	case propRequestResponseInfo:
		c.RequestResponseInfo = s.num == 1
	case propRequestProblemInfo:
		c.RequestProblemInfo = s.num == 1
	case propAuthMethod:
		c.AuthMethod, c.HasAuthMethod = string(s.data), true
	case propAuthData:
		c.AuthData = bytes.Clone(s.data)
	case propUserProperty:
		c.UserProperties = append(c.UserProperties, s.raw...)
	}
}

// payload decodes the part behind the variable header (MQTT 5 3.1.3).
func (c *Connect) payload(flags byte, b []byte) error {
	id, b, err := cutString(b)
	if err != nil {
		return err
	}
	c.ClientID = string(id)
	if flags&connectWill != 0 {
		if b, err = c.will(flags, b); err != nil {
			return err
		}
	}
	if b, err = c.credentials(flags, b); err != nil {
		return err
	}
	if len(b) > 0 {
		return errTrailing
	}
	return c.checkClientID()
}

func (c *Connect) will(flags byte, b []byte) (rest []byte, err error) {
	w := &Will{QoS: flags >> 3 & 3, Retain: flags&connectWillRetain != 0}
	props, b, err := cutProps(b, c.Version)
	if err != nil {
		return nil, err
	}
	if err := w.properties(props); err != nil {
		return nil, err
	}
	topic, b, err := cutString(b)
	if err != nil {
		return nil, err
	}
	payload, rest, err := cutData(b)
	if err != nil {
		return nil, err
	}
	w.Topic, w.Payload = string(topic), bytes.Clone(payload)
	c.Will = w
	return rest, nil
}

func (w *Will) properties(props []byte) error {
	s := scanner{rest: props, in: inWill}
	for s.next() {
		switch s.id {
		case propWillDelay:
			w.Delay = s.num
		case propMessageExpiry:
			w.Expiry, w.HasExpiry = s.num, true
		default:
			w.Props = append(w.Props, s.raw...)
		}
	}
	return s.err
}

// credentials decodes the user name and the password. In MQTT 3.1 either may be missing at the packet's end though
// its flag is set (MQTT 3.1 3.1).
func (c *Connect) credentials(flags byte, b []byte) (rest []byte, err error) {
	missing := func() bool { return c.Version == V31 && len(b) == 0 }
	if flags&connectUsername != 0 && !missing() {
		var name []byte
		if name, b, err = cutString(b); err != nil {
			return nil, err
		}
		c.Username, c.HasUsername = string(name), true
	}
	if flags&connectPassword != 0 && !missing() {
		var password []byte
		if password, b, err = cutData(b); err != nil {
			return nil, err
		}
		c.Password, c.HasPassword = bytes.Clone(password), true
	}
	return b, nil
}

// checkClientID refuses an empty client identifier if the server may not assign one.
func (c *Connect) checkClientID() error {
	switch {
	case c.ClientID != "" || c.Version == V5:
		return nil
	case c.Version == V31:
		return errClientID31
	case !c.CleanStart:
		return errClientIDNeeded
	}
	return nil
}
