package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
)

// subscription is a run of outcry sub.
type subscription struct {
	flags    *subFlags
	options  *clientOptions
	printer  *messagePrinter
	out      *bufio.Writer
	errs     io.Writer
	messages chan *broker.Message
	printed  int
}

// errDone ends a run that has printed what it should.
var errDone = errors.New("done")

// run subscribes, prints, and comes back when the connection is lost, until it is done.
func (s *subscription) run(ctx context.Context) error {
	pause := 500 * time.Millisecond
	for first := true; ; first = false {
		up, err := s.once(ctx)
		switch {
		case ctx.Err() != nil:
			return s.ended(ctx)
		case errors.Is(err, errDone), errors.Is(err, syscall.EPIPE):
			return nil
		case !up && first, errors.As(err, &finalError{}):
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

// refresh reads the token again: it may be a new one.
func (s *subscription) refresh() (err error) {
	s.options.user, s.options.password, err = s.flags.credentials(s.options.url.User)
	return err
}

// ended is how a run ends that was told to: by a signal well, by -W with its status.
func (s *subscription) ended(ctx context.Context) error {
	var timeout *exitError
	if errors.As(context.Cause(ctx), &timeout) {
		return timeout
	}
	return nil
}

// once is one connection; up tells whether its subscriptions were granted.
func (s *subscription) once(ctx context.Context) (up bool, err error) {
	connection, cancel := context.WithCancel(ctx)
	defer cancel()
	c, err := connect(ctx, s.options, func(m *broker.Message) {
		select {
		case s.messages <- m:
		case <-connection.Done():
		}
	})
	if err != nil {
		return false, err
	}
	defer c.close()
	defer cancel() // before close, which waits for the messages' reader
	if err := s.subscribe(ctx, c); err != nil {
		return false, err
	}
	return true, s.take(ctx, c)
}

// subscribe returns an error if nothing was granted, and tells of what was not.
func (s *subscription) subscribe(ctx context.Context, c client) error {
	answers := make(chan error, 1)
	go func() { // because retained messages come meanwhile
		refused, err := c.subscribe(ctx, s.flags.topics, subscribing{byte(s.flags.qos), s.flags.noLocal, s.flags.maxRate})
		answers <- s.judge(refused, err)
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

func (s *subscription) judge(refused []error, err error) error {
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

// take prints messages until the connection is lost or the run is over.
func (s *subscription) take(ctx context.Context, c client) error {
	for {
		select {
		case m := <-s.messages:
			if err := s.handle(m); err != nil {
				return err
			}
		case err := <-c.lost():
			return err
		case <-ctx.Done():
			return s.out.Flush()
		}
	}
}

// handle prints a message, and flushes when no other waits.
func (s *subscription) handle(m *broker.Message) error {
	if s.flags.retainedOnly && !m.Retain {
		return s.done()
	}
	if !s.wanted(m) {
		return nil
	}
	if err := s.printer.print(s.out, m, time.Now()); err != nil {
		return err
	}
	if s.printed++; s.flags.count > 0 && s.printed >= s.flags.count {
		return s.done()
	}
	if len(s.messages) == 0 {
		return s.out.Flush()
	}
	return nil
}

func (s *subscription) done() error {
	if err := s.out.Flush(); err != nil {
		return err
	}
	return errDone
}

func (s *subscription) wanted(m *broker.Message) bool {
	if s.flags.noRetained && m.Retain {
		return false
	}
	for _, f := range s.flags.without {
		if topicMatches(f, m.Topic) {
			return false
		}
	}
	return true
}

// topicMatches tells whether a filter matches a topic (MQTT 5 section 4.7).
func topicMatches(filter, topic string) bool {
	if strings.HasPrefix(topic, "$") != strings.HasPrefix(filter, "$") {
		return false // [MQTT-4.7.2-1]
	}
	for {
		want, restFilter, moreFilter := strings.Cut(filter, "/")
		level, restTopic, moreTopic := strings.Cut(topic, "/")
		switch {
		case want == "#":
			return true
		case want != "+" && want != level:
			return false
		case !moreFilter || !moreTopic:
			return !moreTopic && (!moreFilter || restFilter == "#")
		}
		filter, topic = restFilter, restTopic
	}
}
