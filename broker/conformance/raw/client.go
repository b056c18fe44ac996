package raw

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"testing"
	"time"
)

// Patience is how long a client waits for a packet that must come. A passing test never waits as long.
var Patience = 30 * time.Second

// Client is one connection to a server. A packet that the server may not send fails the test.
type Client struct {
	Version byte // of the packets sent from now on; Connect sets it
	ID      string

	t         testing.TB
	conn      net.Conn
	r         *bufio.Reader
	nextID    int
	maxPacket int            // maximum packet size of the CONNECT; 0: none
	maxAlias  int            // topic alias maximum of the CONNECT
	aliases   map[int]string // topics by alias, as set by the server
}

// New returns a client on a connection, which is closed at the end of the test.
func New(t testing.TB, conn net.Conn, version byte) *Client {
	t.Helper()
	t.Cleanup(func() { _ = conn.Close() })
	return &Client{Version: version, t: t, conn: conn, r: bufio.NewReader(conn), aliases: map[int]string{}}
}

// Send writes bytes as they are, in one write.
func (c *Client) Send(packets ...[]byte) {
	c.t.Helper()
	if err := c.TrySend(packets...); err != nil {
		c.t.Fatalf("%s: write: %v", c.ID, err)
	}
}

// TrySend is Send for a connection that the server may have closed.
func (c *Client) TrySend(packets ...[]byte) error {
	var all []byte
	for _, p := range packets {
		all = append(all, p...)
	}
	_ = c.conn.SetWriteDeadline(time.Now().Add(Patience))
	_, err := c.conn.Write(all)
	return err
}

// Close closes the connection without a DISCONNECT.
func (c *Client) Close() { _ = c.conn.Close() }

// SendConnect sends a CONNECT, and remembers its limits for the checks of received packets.
func (c *Client) SendConnect(k Connect) {
	c.t.Helper()
	if k.Version == 0 {
		k.Version = c.Version
	}
	c.Version, c.ID = k.Version, k.ID
	c.maxPacket, c.maxAlias = max(0, k.Props.Num(MaximumPacketSize)), max(0, k.Props.Num(TopicAliasMaximum))
	c.Send(k.Bytes())
}

// Connect connects and returns the CONNACK, which must accept.
func (c *Client) Connect(k Connect) *Received {
	c.t.Helper()
	c.SendConnect(k)
	p := c.Expect(CONNACK)
	if p.Code != 0 {
		c.t.Fatalf("%s: got %v, want it accepted", c.ID, p)
	}
	return p
}

// PacketID returns a packet identifier that this connection has not used.
func (c *Client) PacketID() int {
	c.nextID++
	return c.nextID
}

// Subscribe subscribes to all filters with the same options and returns the codes of the SUBACK. Any other packet
// before it, such as a retained message, fails the test.
func (c *Client) Subscribe(options byte, filters ...string) []byte {
	c.t.Helper()
	s := Subscribe{ID: c.PacketID()}
	for _, f := range filters {
		s.Filters = append(s.Filters, Filter{f, options})
	}
	c.Send(s.Bytes(c.Version))
	return c.ExpectAck(SUBACK, s.ID).Codes
}

// Publish publishes a message and completes its flow. It returns the code of the PUBACK or PUBREC.
func (c *Client) Publish(p Publish) byte {
	c.t.Helper()
	if p.QoS > 0 && p.ID == 0 {
		p.ID = c.PacketID()
	}
	c.Send(p.Bytes(c.Version))
	switch p.QoS {
	case 1:
		return c.ExpectAck(PUBACK, p.ID).Code
	case 2:
		if code := c.ExpectAck(PUBREC, p.ID).Code; code >= 0x80 {
			return code
		}
		c.Send(Ack(PUBREL, p.ID))
		return c.ExpectAck(PUBCOMP, p.ID).Code
	}
	return 0
}

// Read reads the next packet. It returns io.EOF if the server has closed the connection.
func (c *Client) Read() (*Received, error) {
	_ = c.conn.SetReadDeadline(time.Now().Add(Patience))
	p, err := ReadPacket(c.r, c.Version)
	if err != nil {
		return nil, err
	}
	return p, c.validate(p)
}

// validate checks a packet against the CONNECT's limits and the aliases of this connection.
func (c *Client) validate(p *Received) error {
	if c.maxPacket > 0 && len(p.Bytes) > c.maxPacket {
		return fmt.Errorf("%v has %d bytes, more than the client takes [MQTT-3.1.2-24]", p.Type, len(p.Bytes))
	}
	alias := p.Props.Num(TopicAlias)
	switch {
	case p.Type != PUBLISH || alias < 0:
	case alias > c.maxAlias:
		return fmt.Errorf("PUBLISH has topic alias %d, at most %d may be used [MQTT-3.1.2-26]", alias, c.maxAlias)
	case p.Topic != "":
		c.aliases[alias] = p.Topic
	case c.aliases[alias] == "":
		return fmt.Errorf("PUBLISH has topic alias %d, which was never set", alias)
	default:
		p.Topic = c.aliases[alias]
	}
	return nil
}

// Expect reads the next packet, which must be of the given type.
func (c *Client) Expect(t Type) *Received {
	c.t.Helper()
	p, err := c.Read()
	switch {
	case errors.Is(err, io.EOF):
		c.t.Fatalf("%s: the server closed the connection, want %v", c.ID, t)
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.t.Fatalf("%s: nothing came, want %v", c.ID, t)
	case err != nil:
		c.t.Fatalf("%s: want %v: %v", c.ID, t, err)
	case p.Type != t:
		c.t.Fatalf("%s: got %v, want %v", c.ID, p, t)
	}
	return p
}

// ExpectAck reads the next packet, which must have the given type and packet identifier.
func (c *Client) ExpectAck(t Type, id int) *Received {
	c.t.Helper()
	p := c.Expect(t)
	if p.ID != id {
		c.t.Fatalf("%s: got %v, want packet identifier %d", c.ID, p, id)
	}
	return p
}

// ExpectPublish reads the next packet, which must be a message with this topic and payload.
func (c *Client) ExpectPublish(topic, payload string) *Received {
	c.t.Helper()
	p := c.Expect(PUBLISH)
	if p.Topic != topic || p.Payload != payload {
		c.t.Fatalf("%s: got %v, want %q %.60q", c.ID, p, topic, payload)
	}
	return p
}

// ExpectClosed waits until the server closes the connection. A packet before that fails the test.
func (c *Client) ExpectClosed() {
	c.t.Helper()
	switch p, err := c.Read(); {
	case errors.Is(err, io.EOF):
	case err != nil:
		c.t.Fatalf("%s: want the connection closed: %v", c.ID, err)
	default:
		c.t.Fatalf("%s: got %v, want the connection closed", c.ID, p)
	}
}

// ExpectEnd waits until the server ends an accepted connection: in MQTT 5 by a DISCONNECT with one of these
// codes, in earlier versions without a packet.
func (c *Client) ExpectEnd(codes ...byte) {
	c.t.Helper()
	if c.Version >= V5 {
		if p := c.Expect(DISCONNECT); !slices.Contains(codes, p.Code) {
			c.t.Fatalf("%s: got %v, want code % X", c.ID, p, codes)
		}
	}
	c.ExpectClosed()
}

// ExpectRefused waits for a CONNACK with one of these codes, and for the connection's end.
func (c *Client) ExpectRefused(codes ...byte) *Received {
	c.t.Helper()
	p := c.Expect(CONNACK)
	if !slices.Contains(codes, p.Code) {
		c.t.Fatalf("%s: got %v, want code % X", c.ID, p, codes)
	}
	c.ExpectClosed()
	return p
}

// ExpectMalformed waits for the answer to a malformed CONNECT: in MQTT 5 a CONNACK with one of these codes, in
// earlier versions the connection's end without a packet [MQTT-3.1.4-1].
func (c *Client) ExpectMalformed(codes ...byte) {
	c.t.Helper()
	if c.Version >= V5 {
		c.ExpectRefused(codes...)
		return
	}
	c.ExpectClosed()
}

// Disconnect sends a DISCONNECT and waits until the server closes the connection.
func (c *Client) Disconnect() {
	c.t.Helper()
	c.Send(Plain(DISCONNECT))
	c.ExpectClosed()
}

// ExpectNothing checks with a PINGREQ that the server has sent nothing else until now.
func (c *Client) ExpectNothing() {
	c.t.Helper()
	c.Send(Plain(PINGREQ))
	c.Expect(PINGRESP)
}
