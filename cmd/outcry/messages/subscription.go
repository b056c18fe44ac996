package messages

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/topic"
	"github.com/outcry-mqtt/outcry/cmd/outcry/client"
	"github.com/outcry-mqtt/outcry/cmd/outcry/command"
)

// subscription is a run of outcry sub.
type subscription struct {
	flags    *subFlags
	options  *client.Options
	printer  *messagePrinter
	out      *bufio.Writer
	errs     io.Writer
	messages chan *broker.Message
	printed  int
}

// errDone ends a run that has printed all its messages.
var errDone = errors.New("done")

// run subscribes and prints, and reconnects when the connection is lost, until it is done.
func (s *subscription) run(ctx context.Context) error {
	pause := 500 * time.Millisecond
	for first := true; ; first = false {
		up, err := s.connectOnce(ctx)
		var unwritten *outputError
		switch {
		case ctx.Err() != nil:
			return s.ended(ctx)
		case errors.Is(err, errDone):
			return nil
		case errors.As(err, &unwritten):
			return unwritten.quiet()
		case !up && first, errors.As(err, &client.FinalError{}):
			return err
		case up:
			pause = 500 * time.Millisecond
		}
		fmt.Fprintf(s.errs, "%v; connecting again in %v\n", err, pause)
		if !sleep(ctx, pause) {
			return s.ended(ctx)
		}
		pause = min(2*pause, 10*time.Second)
		if err := s.refresh(); err != nil {
			return err
		}
	}
}

// refresh reads the token again: it may have changed.
func (s *subscription) refresh() (err error) {
	s.options.User, s.options.Password, err = s.flags.Credentials(s.options.URL.User)
	return err
}

// ended returns the result of a run whose context has ended: nil after a signal, an exit status after -W.
func (s *subscription) ended(ctx context.Context) error {
	var timeout *command.ExitError
	if errors.As(context.Cause(ctx), &timeout) {
		return timeout
	}
	return nil
}

// connectOnce runs one connection; up reports whether its subscriptions were granted.
func (s *subscription) connectOnce(ctx context.Context) (up bool, err error) {
	connection, cancel := context.WithCancel(ctx)
	defer cancel()
	c, err := client.Connect(ctx, s.options, func(m *broker.Message) {
		select {
		case s.messages <- m:
		case <-connection.Done():
		}
	})
	if err != nil {
		return false, err
	}
	defer c.Close()
	defer cancel() // before Close, which waits for the messages' reader
	if err := s.subscribe(ctx, c); err != nil {
		return false, err
	}
	return true, s.receive(ctx, c)
}

// subscribe returns an error if no filter was granted, and prints the refused ones.
func (s *subscription) subscribe(ctx context.Context, c client.Conn) error {
	answers := make(chan error, 1)
	go func() { // retained messages arrive meanwhile
		refused, err := c.Subscribe(ctx, s.flags.topics, client.Subscribing{QoS: byte(s.flags.qos), NoLocal: s.flags.noLocal, MaxRate: s.flags.maxRate})
		answers <- s.checkResults(refused, err)
	}()
	for {
		select {
		case err := <-answers:
			if err == nil && s.flags.onceReady {
				return errDone
			}
			return err
		case m := <-s.messages:
			if err := s.handle(m); err != nil {
				return err
			}
		}
	}
}

func (s *subscription) checkResults(refused []error, err error) error {
	if err != nil {
		return err
	}
	denied := 0
	for _, r := range refused {
		if r != nil {
			denied++
			err = r
		}
	}
	if denied == len(refused) {
		return errors.Join(refused...)
	}
	if denied > 0 {
		fmt.Fprintln(s.errs, errors.Join(refused...))
	}
	return nil
}

// receive prints messages until the connection is lost or the run is over.
func (s *subscription) receive(ctx context.Context, c client.Conn) error {
	for {
		select {
		case m := <-s.messages:
			if err := s.handle(m); err != nil {
				return err
			}
		case err := <-c.Lost():
			return err
		case <-ctx.Done():
			return s.flush()
		}
	}
}

// handle prints a message, and flushes unless another is waiting.
func (s *subscription) handle(m *broker.Message) error {
	if s.flags.retainedOnly && !m.Retain {
		return s.done()
	}
	if !s.wanted(m) {
		return nil
	}
	if err := s.printer.print(s.out, m, time.Now()); err != nil {
		return &outputError{err}
	}
	if s.printed++; s.flags.count > 0 && s.printed >= s.flags.count {
		return s.done()
	}
	if len(s.messages) == 0 {
		return s.flush()
	}
	return nil
}

func (s *subscription) flush() error {
	if err := s.out.Flush(); err != nil {
		return &outputError{err}
	}
	return nil
}

func (s *subscription) done() error {
	if err := s.flush(); err != nil {
		return err
	}
	return errDone
}

// outputError is a failed write to standard output. A reconnect does not help.
type outputError struct{ err error }

// Error returns the reason.
func (e *outputError) Error() string { return e.err.Error() }

// Unwrap returns the reason.
func (e *outputError) Unwrap() error { return e.err }

// quiet returns nil if the reader has closed the pipe, as head does.
func (e *outputError) quiet() error {
	if errors.Is(e.err, syscall.EPIPE) {
		return nil
	}
	return e
}

func (s *subscription) wanted(m *broker.Message) bool {
	if s.flags.noRetained && m.Retain {
		return false
	}
	for _, f := range s.flags.without {
		if topic.Match(f, m.Topic) {
			return false
		}
	}
	return true
}
