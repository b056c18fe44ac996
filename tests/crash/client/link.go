package client

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
	"github.com/outcry-mqtt/outcry/tests/crash/history"
)

const (
	redialPause   = 5 * time.Millisecond   // between attempts to connect to a stopped broker
	maxPause      = 100 * time.Millisecond // maximum pause after a connection
	answerTimeout = 5 * time.Second        // for an answer; a client then opens another connection
	expiry        = 24 * time.Hour         // of sessions, far beyond any run
)

// Options are common to publishers and subscribers.
type Options struct {
	ID      string
	Version byte // raw.V311 or raw.V5
	Stage   *Stage
	Log     *history.Log
}

// link is one connection, after its CONNACK.
type link struct {
	Options
	Round   int  // in which it was opened
	Present bool // session present flag of CONNACK

	packets chan *raw.Received // closed at the connection's end

	conn net.Conn
	done chan struct{}
}

// durable returns a CONNECT that resumes its session, or creates one that outlives the run. receiveMax is the receive
// maximum of MQTT 5; 0: absent.
func (o *Options) durable(receiveMax int) raw.Connect {
	k := raw.Connect{Version: o.Version, ID: o.ID}
	if o.Version >= raw.V5 {
		k.Props = raw.Props{raw.Num(raw.SessionExpiry, int(expiry.Seconds()))}
		if receiveMax > 0 {
			k.Props = append(k.Props, raw.Num(raw.ReceiveMaximum, receiveMax))
		}
	}
	return k
}

// connect retries until there is a connection, or ctx ends.
func (o *Options) connect(ctx context.Context, k raw.Connect) (*link, error) {
	for {
		l, err := o.try(ctx, k)
		if err == nil {
			return l, nil
		}
		if pause(ctx, redialPause); ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

func (o *Options) try(ctx context.Context, k raw.Connect) (*link, error) {
	dialer := net.Dialer{Timeout: answerTimeout}
	conn, err := dialer.DialContext(ctx, "tcp", o.Stage.Address)
	if err != nil {
		return nil, err
	}
	l := &link{Options: *o, packets: make(chan *raw.Received, 64), conn: conn, done: make(chan struct{})}
	if err := l.handshake(k); err != nil {
		conn.Close()
		return nil, err
	}
	l.Round = o.Stage.Round() // not before: the broker of the next round may have answered
	return l, nil
}

func (l *link) handshake(k raw.Connect) error {
	if err := l.send("CONNECT", k.Bytes()); err != nil {
		return err
	}
	r := bufio.NewReader(l.conn)
	_ = l.conn.SetReadDeadline(time.Now().Add(answerTimeout))
	p, err := raw.ReadPacket(r, l.Version)
	switch {
	case err != nil:
		return l.ended(err)
	case p.Type != raw.CONNACK:
		l.Log.Fault(history.Protocol, l.ID, "got %v, want CONNACK", p)
		return errors.New("no CONNACK")
	case p.Code != 0:
		l.Log.Trace(l.ID, "< CONNACK code=0x%02X", p.Code)
		return fmt.Errorf("refused with code 0x%02X", p.Code)
	}
	l.Log.Trace(l.ID, "< CONNACK present=%t", p.SessionPresent)
	l.Present = p.SessionPresent
	_ = l.conn.SetReadDeadline(time.Time{})
	go l.read(r)
	return nil
}

// read passes packets on until the connection ends.
func (l *link) read(r *bufio.Reader) {
	defer close(l.packets)
	for {
		p, err := raw.ReadPacket(r, l.Version)
		if err != nil {
			_ = l.ended(err)
			return
		}
		select {
		case l.packets <- p:
		case <-l.done:
			return
		}
	}
}

// ended records why reading ended. A malformed packet is the broker's fault; a closed connection is not.
func (l *link) ended(err error) error {
	var network net.Error
	if !errors.Is(err, io.EOF) && !errors.As(err, &network) {
		l.Log.Fault(history.Protocol, l.ID, "%v", err)
	}
	l.Log.Trace(l.ID, "  connection ends: %v", err)
	return err
}

// send writes packets. text is for the trace.
func (l *link) send(text string, packets []byte) error {
	l.Log.Trace(l.ID, "> %s", text)
	_ = l.conn.SetWriteDeadline(time.Now().Add(answerTimeout))
	_, err := l.conn.Write(packets)
	return err
}

// close closes the connection without DISCONNECT, and waits for its reader.
func (l *link) close() {
	close(l.done)
	l.conn.Close()
	for range l.packets {
	}
}

// DISCONNECT codes that a broker may send without a client's fault: shutdown, a takeover by the client's own next
// connection, and errors of a failing store.
var allowedReasons = []byte{0x80, 0x83, 0x89, 0x8B, 0x8E, 0x97}

// handleCommon handles packets that every client handles alike. It reports whether the connection continues.
func (l *link) handleCommon(p *raw.Received) bool {
	l.Log.Trace(l.ID, "< %v", p)
	switch {
	case p.Type == raw.PINGRESP:
		return true
	case p.Type == raw.DISCONNECT && slices.Contains(allowedReasons, p.Code):
	default:
		l.Log.Fault(history.Protocol, l.ID, "unexpected %v", p)
	}
	return false
}
