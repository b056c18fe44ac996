package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/wire"
	"github.com/outcry-mqtt/outcry/devices"
)

const (
	connectTimeout = 10 * time.Second
	answerTimeout  = 30 * time.Second // for an acknowledgement
)

// subscribing is how to subscribe. All but the QoS needs MQTT 5.
type subscribing struct {
	qos     byte
	noLocal bool
	maxRate float64 // messages a second of each topic, as Outcry understands it; 0: all
}

// client is a connection to a broker, of any version of MQTT.
type client interface {
	// publish sends a message; with QoS 1 and 2 it returns when the broker has taken it.
	publish(ctx context.Context, m *broker.Message) error
	// subscribe subscribes to all filters and gives an error for each that was refused, in their order; nil is granted.
	subscribe(ctx context.Context, filters []string, how subscribing) ([]error, error)
	// lost tells why the connection ended, once.
	lost() <-chan error
	// close takes leave of the broker.
	close()
}

// connect makes a connection. onMessage gets what is received, one message at a time; it may be nil.
func connect(ctx context.Context, o *clientOptions, onMessage func(*broker.Message)) (client, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := devices.Dial(ctx, o.url, o.tls)
	if err != nil {
		return nil, explainDial(o, err)
	}
	if o.version == 5 {
		return connectV5(ctx, o, conn, onMessage)
	}
	return connectV3(o, conn, onMessage)
}

// finalError is the end of a connection that it would not help to make again.
type finalError struct{ error }

// Unwrap gives the error inside.
func (e finalError) Unwrap() error { return e.error }

func finalIf(final bool, err error) error {
	if final {
		return finalError{err}
	}
	return err
}

// explainDial says what could not be reached, and what may help.
func explainDial(o *clientOptions, err error) error {
	hint := ""
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err // the address stands in our own text
	}
	var call *os.SyscallError
	if errors.As(err, &call) {
		err = call.Err
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, os.ErrNotExist):
		hint = "; is the broker running there? start one with: outcry serve"
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("cannot connect to %s: no answer within %v", o.url.Redacted(), connectTimeout)
	}
	return fmt.Errorf("cannot connect to %s: %w%s", o.url.Redacted(), err, hint)
}

// explainAnswer is for a broker that was reached and did not answer the CONNECT.
func explainAnswer(o *clientOptions, err error) error {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s was reached but did not answer within %v; is it an MQTT broker?", o.url.Redacted(), connectTimeout)
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return fmt.Errorf("%s closed the connection without an MQTT answer; is the port right, and does it want TLS or another version (-V)?", o.url.Redacted())
	}
	return fmt.Errorf("%s answered, but not as an MQTT broker does (%w); is the port right, or does it want another version (-V)?",
		o.url.Redacted(), err)
}

// refusal is the error for a CONNACK that refuses: what the broker says, or else what can be told from the token.
func refusal(o *clientOptions, what, reason string) error {
	if reason == "" {
		reason = tokenTrouble(string(o.password), time.Now())
	}
	if reason != "" {
		what += ": " + reason
	}
	return fmt.Errorf("connection refused by the broker: %s", what)
}

// tokenTrouble tells whether a token's own times rule it out.
func tokenTrouble(token string, now time.Time) string {
	c := tokenClaims(token)
	switch {
	case c.ExpiresAt != nil && now.After(c.ExpiresAt.Time):
		return fmt.Sprintf("the token expired %s ago", roughly(now.Sub(c.ExpiresAt.Time)))
	case c.NotBefore != nil && now.Before(c.NotBefore.Time):
		return fmt.Sprintf("the token is not valid for another %s", roughly(c.NotBefore.Sub(now)))
	}
	return ""
}

// roughly is a duration in its largest unit.
func roughly(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	case d >= time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d >= time.Minute:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return fmt.Sprintf("%ds", d/time.Second)
}

// final tells the reason codes of MQTT 5 after which a client should not come back by itself.
func final(code byte) bool {
	switch code {
	case wire.ServerUnavailable, wire.ServerBusy, wire.ServerShuttingDown, wire.KeepAliveTimeout,
		wire.ConnectionRateExceeded, wire.UnspecifiedError, wire.ImplementationSpecificError, wire.QuotaExceeded:
		return false
	}
	return code >= 0x80
}

// codeText is a reason code of MQTT 5 in words and digits, with the broker's own words if there are any.
func codeText(code byte, reason string) string {
	text := fmt.Sprintf("%s (0x%02X)", strings.ToLower(wire.ReasonString(code)), code)
	if reason != "" {
		text += ": " + reason
	}
	return text
}
