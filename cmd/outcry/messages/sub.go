package messages

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/cmd/outcry/client"
	"github.com/outcry-mqtt/outcry/cmd/outcry/command"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// exitTimeout is the exit status after the time of -W, as in mosquitto_sub.
const exitTimeout = 27

// subFlags are the flags of outcry sub.
type subFlags struct {
	client.Flags
	topics       []string
	without      []string
	qos          int
	count        int
	timeout      command.Seconds
	noRetained   bool
	retainedOnly bool
	keepSession  bool
	noLocal      bool
	maxRate      float64
	onceReady    bool
	print        printFlags
}

const subLong = `Subscribe to topics of an MQTT broker and print the messages, with the usual flags of mosquitto_sub.

It reconnects by itself after a lost connection.

--json prints each message as an object on a line, with topic, payload (or payload_b64, in base64, if the payload is not
text), qos, retain, time, and props if there are any.

-F prints each message by a format with \n, \t and these placeholders: %t topic, %p payload, %x payload in hexadecimal,
%l payload length in bytes, %q QoS, %r 1 if retained, %U Unix time, %I ISO time, %j the JSON of --json, %% a %.

Exit status: 0 done (-C messages received, or interrupted), 1 an error, or the broker refused, 27 the time of -W has
passed.`

const subExample = `  outcry sub -t 'ticker/#' -v
  outcry sub -t 'chat/+/say' --json --token-file data/guest.jwt | jq .payload
  outcry sub -t answers/me -C 1 -W 5
  outcry sub -t 'sensors/#' -T 'sensors/+/status' -F '%I %t %p'
  outcry sub -t 'ticker/#' --max-rate 1
  outcry sub -t jobs -q 1 -c -i worker-1`

// NewSubCommand returns the command outcry sub.
func NewSubCommand() *cobra.Command {
	f := &subFlags{}
	return newClientCommand(&cobra.Command{
		Use:     "sub -t FILTER...",
		Short:   "Subscribe to topics and print the messages",
		Long:    subLong,
		Example: subExample,
	}, f.run, f.registerSub, &f.Flags)
}

func (f *subFlags) registerSub(fs *pflag.FlagSet) {
	fs.StringArrayVarP(&f.topics, "topic", "t", nil, "topic filter, may be repeated")
	fs.StringArrayVarP(&f.without, "filter-out", "T", nil, "do not print topics that match this filter, may be repeated")
	fs.IntVarP(&f.qos, "qos", "q", 0, "quality of service: 0, 1 or 2")
	fs.IntVarP(&f.count, "count", "C", 0, "end after this number of messages")
	fs.VarP(&f.timeout, "timeout", "W", "end after this number of seconds, with exit status 27")
	fs.BoolVarP(&f.noRetained, "no-retained", "R", false, "do not print retained messages")
	fs.BoolVar(&f.retainedOnly, "retained-only", false, "print retained messages only, and end at the first other message")
	f.print.register(fs)
	fs.BoolVarP(&f.keepSession, "keep-session", "c", false, "resume the session of -i, and keep it at the end")
	fs.BoolVar(&f.noLocal, "no-local", false, "exclude this client's own messages (MQTT 5)")
	fs.Float64Var(&f.maxRate, "max-rate", 0, "most messages a second of each topic, the newest (MQTT 5, Outcry)")
	fs.BoolVarP(&f.onceReady, "exit-subscribed", "E", false, "end after the SUBACK")
}

func (f *subFlags) check() error {
	switch {
	case len(f.topics) == 0:
		return errors.New("no topic; give at least one with -t")
	case f.maxRate < 0:
		return fmt.Errorf("--max-rate %v: want a positive number", f.maxRate)
	case f.count < 0:
		return fmt.Errorf("--count %d: want a positive number", f.count)
	case f.noRetained && f.retainedOnly:
		return errors.New("-R and --retained-only exclude each other")
	case f.keepSession && f.ID == "":
		return errors.New("-c needs a client identifier of your own; give one with -i")
	}
	for _, filter := range f.topics {
		if err := client.CheckTopicText("-t", filter); err != nil {
			return err
		}
	}
	if err := f.print.check(); err != nil {
		return err
	}
	return client.CheckQoS("--qos", f.qos)
}

func (f *subFlags) run(cmd *cobra.Command) error {
	if err := f.check(); err != nil {
		return err
	}
	o, err := f.Options()
	if err != nil {
		return err
	}
	switch {
	case o.Version < 5 && f.noLocal:
		return errors.New("--no-local needs MQTT 5; leave out -V")
	case o.Version < 5 && f.maxRate != 0:
		return errors.New("--max-rate needs MQTT 5; leave out -V")
	}
	o.KeepSession = f.keepSession
	ctx, stop := command.Context(cmd)
	defer stop()
	if f.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, time.Duration(f.timeout), &command.ExitError{Code: exitTimeout})
		defer cancel()
	}
	s := &subscription{flags: f, options: o, errs: cmd.ErrOrStderr(), messages: make(chan *broker.Message, 256)}
	s.out = bufio.NewWriter(cmd.OutOrStdout())
	s.printer = f.print.printer(cmd.OutOrStdout())
	return s.run(ctx)
}
