package broker_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// device is a client of the model test, over all its connections.
type device struct {
	w       *world
	name    string
	id      string // the client identifier
	version byte
	conn    net.Conn // nil: not connected
	r       *bufio.Reader
	sent    []*sending // QoS 1 and 2 messages of its own that are not done with, in order
	wants   []*raw.Received
}

// sending is a message on its way from a client.
type sending struct {
	a     *attempt
	id    int
	state sendingState
	gone  bool // the broker may have forgotten it: PUBCOMP was due when the connection was lost
}

type sendingState int

const (
	published sendingState = iota // PUBACK or PUBREC has to come
	recorded                      // PUBREC has come
	releasing                     // PUBCOMP has to come
)

// dial opens a connection to the broker.
func (d *device) dial(version byte) error {
	conn, err := net.Dial("tcp", d.w.listener.Addr().String())
	if err != nil {
		return err
	}
	peer, err := d.w.listener.Accept()
	if err != nil {
		return err
	}
	d.conn, d.r, d.version = conn, bufio.NewReader(conn), version
	return d.w.b.Attach(broker.Conn{Conn: peer, Listener: "model"})
}

// write sends packets. That the broker has closed is found out by who reads.
func (d *device) write(packets ...[]byte) {
	if d.conn == nil {
		return
	}
	_ = d.conn.SetWriteDeadline(time.Now().Add(d.w.patience))
	for _, p := range packets {
		_, _ = d.conn.Write(p)
	}
}

func (d *device) read() (*raw.Received, error) {
	_ = d.conn.SetReadDeadline(time.Now().Add(d.w.patience))
	p, err := raw.ReadPacket(d.r, d.version)
	if err == nil {
		d.w.note("%s <- %v", d.name, p)
	}
	return p, err
}

// close ends the connection without a word.
func (d *device) close() {
	for _, s := range d.sent {
		s.gone = s.gone || s.state == releasing
	}
	d.wants = nil
	if d.conn != nil {
		_ = d.conn.Close()
	}
	d.conn = nil
}

// sync takes everything that the broker has sent until now. mayEnd tells that the broker may have closed the connection
// because its disk fails; then ended is true.
func (d *device) sync(mayEnd bool) (ended bool, err error) {
	if d.conn == nil {
		return false, nil
	}
	d.write(raw.Plain(raw.PINGREQ))
	for {
		p, err := d.read()
		switch {
		case mayEnd && errors.Is(err, io.EOF) && d.version < raw.V5,
			mayEnd && err == nil && p.Type == raw.DISCONNECT && p.Code == 0x89:
			d.close()
			return true, nil
		case err != nil:
			return false, fmt.Errorf("%s: %w", d.name, err)
		case p.Type == raw.PINGRESP:
			return false, nil
		}
		if err := d.take(p); err != nil {
			return false, fmt.Errorf("%s got %v: %w", d.name, p, err)
		}
	}
}

func (d *device) take(p *raw.Received) error {
	s := d.w.accounts[d.name]
	switch p.Type {
	case raw.PUBLISH:
		if p.QoS == 0 {
			return s.arriveQoS0(p, d.w.now())
		}
		return s.arrive(p, d.w.now())
	case raw.PUBREL:
		return s.arrive(p, d.w.now())
	case raw.PUBACK, raw.PUBREC, raw.PUBCOMP:
		return d.acknowledged(p)
	case raw.SUBACK, raw.UNSUBACK:
		return d.answered(p)
	}
	return errors.New("nothing of the kind is due")
}

// acknowledged takes an acknowledgement: in the order in which the messages were sent [MQTT-4.6.0-2, MQTT-4.6.0-3].
func (d *device) acknowledged(p *raw.Received) error {
	want := published
	if p.Type == raw.PUBCOMP {
		want = releasing
	}
	i := slices.IndexFunc(d.sent, func(s *sending) bool { return s.state == want && (want == published || s.id == p.ID) })
	if i < 0 || d.sent[i].id != p.ID || want == published && (p.Type == raw.PUBREC) != (d.sent[i].a.qos == 2) {
		return errors.New("want no such acknowledgement, or not yet")
	}
	s := d.sent[i]
	if p.Code != 0 && !(p.Code == 0x10 && want == published && !d.w.wanted(s.a)) && !(p.Code == 0x92 && s.gone) {
		return errors.New("want another code")
	}
	s.a.acked = true
	if p.Type == raw.PUBREC {
		s.state = recorded
		return nil
	}
	d.sent = slices.Delete(d.sent, i, i+1)
	return nil
}

// answered takes a SUBACK or UNSUBACK.
func (d *device) answered(p *raw.Received) error {
	if len(d.wants) == 0 {
		return errors.New("want none")
	}
	want := d.wants[0]
	d.wants = d.wants[1:]
	if p.Type != want.Type || p.ID != want.ID || d.version >= raw.V5 && !slices.Equal(p.Codes, want.Codes) ||
		p.Type == raw.SUBACK && !slices.Equal(p.Codes, want.Codes) {
		return fmt.Errorf("want %v", want)
	}
	return nil
}

// settle makes sure that everything was answered.
func (d *device) settle() error {
	if d.conn == nil {
		return nil
	}
	if len(d.wants) > 0 {
		return fmt.Errorf("%s did not get %v", d.name, d.wants[0])
	}
	for _, s := range d.sent {
		if s.state != recorded {
			return fmt.Errorf("%s did not get the acknowledgement of %s with identifier %d", d.name, s.a.payload, s.id)
		}
	}
	return nil
}

// freeID is the lowest packet identifier that is not in use.
func (d *device) freeID() int {
	id := 1
	for slices.ContainsFunc(d.sent, func(s *sending) bool { return s.id == id }) {
		id++
	}
	return id
}

// publish sends a message, for the first time or again.
func (d *device) publish(s *sending, again bool) {
	p := raw.Publish{Topic: s.a.topic, Payload: s.a.payload, QoS: s.a.qos, Retain: s.a.retain, ID: s.id, Dup: again}
	if s.a.expires != 0 {
		p.Props = append(p.Props, raw.Num(raw.MessageExpiry, s.a.lasts))
	}
	d.w.note("%s -> PUBLISH %s %s QoS %d id %d again %t", d.name, p.Topic, p.Payload, p.QoS, p.ID, again)
	d.write(p.Bytes(d.version))
}

// resend sends what was not acknowledged once more, as a client must whose session is still there [MQTT-4.4.0-1].
func (d *device) resend() {
	for _, s := range d.sent {
		if s.state != published {
			s.state = releasing
			d.write(raw.Ack(raw.PUBREL, s.id))
			continue
		}
		s.a = s.a.again()
		s.a.limit(d)
		d.w.spread(s.a)
		d.publish(s, true)
	}
}

// again is another attempt at the same message.
func (a *attempt) again() *attempt {
	b := *a
	b.acked, b.given = false, nil
	return &b
}

// limit sets when the message expires, if it does and the client can say so.
func (a *attempt) limit(d *device) {
	a.expires = 0
	if a.lasts > 0 && d.version >= raw.V5 {
		a.expires = d.w.now() + seconds(a.lasts)
	}
	a.first.ends = append(a.first.ends, a.expires)
}
