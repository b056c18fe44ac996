// Package client is the MQTT client of the commands, for MQTT 3.1, 3.1.1 and 5, with the flags of its connection. It
// neither composes nor prints messages.
package client

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
	"github.com/outcry-mqtt/outcry/devices"
	"github.com/outcry-mqtt/outcry/internal/wire"
)

const (
	connectTimeout = 10 * time.Second
	answerTimeout  = 30 * time.Second // for an acknowledgement
)

// Subscribing are subscription options. All but the QoS need MQTT 5.
type Subscribing struct {
	QoS     byte
	NoLocal bool
	MaxRate float64 // messages a second of each topic, Outcry's extension; 0: no limit
}

// Conn is a connection to a broker, of any version of MQTT.
type Conn interface {
	// Publish sends a message. At QoS 1 and 2 it returns after the acknowledgement.
	Publish(ctx context.Context, m *broker.Message) error
	// Subscribe subscribes to all filters and returns a result for each, in order; nil: granted.
	Subscribe(ctx context.Context, filters []string, how Subscribing) ([]error, error)
	// Unsubscribe ends a subscription, if it exists. The broker answers after handling all earlier packets.
	Unsubscribe(ctx context.Context, filter string) error
	// Lost receives the reason for the connection's end, once.
	Lost() <-chan error
	// Close disconnects. It may be called again.
	Close()
}

// Connect connects. onMessage is called for each received message, one at a time; it may be nil.
func Connect(ctx context.Context, o *Options, onMessage func(*broker.Message)) (Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := devices.Dial(ctx, o.URL, o.TLS)
	if err != nil {
		return nil, explainDial(o, err)
	}
	if o.Version == 5 {
		return connectV5(ctx, o, conn, onMessage)
	}
	return connectV3(o, conn, onMessage)
}

// FinalError ends a connection for a reason that a reconnect would not change.
type FinalError struct{ error }

// Unwrap returns the error inside.
func (e FinalError) Unwrap() error { return e.error }

func finalIf(final bool, err error) error {
	if final {
		return FinalError{err}
	}
	return err
}

// explainDial explains a failed dial, with a remedy.
func explainDial(o *Options, err error) error {
	hint := ""
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err // our own text has the address
	}
	var call *os.SyscallError
	if errors.As(err, &call) {
		err = call.Err
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, os.ErrNotExist):
		hint = "; is the broker running there? start one with: outcry serve"
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("cannot connect to %s: no answer within %v", o.URL.Redacted(), connectTimeout)
	}
	return fmt.Errorf("cannot connect to %s: %w%s", o.URL.Redacted(), err, hint)
}

// explainAnswer explains a missing answer to CONNECT.
func explainAnswer(o *Options, err error) error {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s accepted the connection but did not answer within %v; is it an MQTT broker?", o.URL.Redacted(), connectTimeout)
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return fmt.Errorf("%s closed the connection without an MQTT answer; is the port right, and does it want TLS or another version (-V)?", o.URL.Redacted())
	}
	return fmt.Errorf("%s answered, but not as an MQTT broker does (%w); is the port right, or does it want another version (-V)?",
		o.URL.Redacted(), err)
}

// refusal returns the error for a refusing CONNACK: the broker's reason, or one found in the token.
func refusal(o *Options, what, reason string) error {
	if reason == "" {
		reason = tokenProblem(string(o.Password), time.Now())
	}
	if reason != "" {
		what += ": " + reason
	}
	return fmt.Errorf("connection refused by the broker: %s", what)
}

// tokenProblem checks a token's times, and returns the reason why it is invalid.
func tokenProblem(token string, now time.Time) string {
	c := TokenClaims(token)
	switch {
	case c.ExpiresAt != nil && now.After(c.ExpiresAt.Time):
		return fmt.Sprintf("the token expired %s ago", Roughly(now.Sub(c.ExpiresAt.Time)))
	case c.NotBefore != nil && now.Before(c.NotBefore.Time):
		return fmt.Sprintf("the token is not valid for another %s", Roughly(c.NotBefore.Sub(now)))
	}
	return ""
}

// Roughly formats a duration in its largest unit.
func Roughly(d time.Duration) string {
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

// final reports whether a client should not reconnect after a reason code of MQTT 5.
func final(code byte) bool {
	switch code {
	case wire.ServerUnavailable, wire.ServerBusy, wire.ServerShuttingDown, wire.KeepAliveTimeout,
		wire.ConnectionRateExceeded, wire.UnspecifiedError, wire.ImplementationSpecificError, wire.QuotaExceeded:
		return false
	}
	return code >= 0x80
}

// CodeText describes a reason code of MQTT 5, with the broker's reason if there is one.
func CodeText(code byte, reason string) string {
	text := fmt.Sprintf("%s (0x%02X)", strings.ToLower(wire.ReasonString(code)), code)
	if reason != "" {
		text += ": " + reason
	}
	return text
}
