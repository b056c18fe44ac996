// Package messages holds the commands pub and sub, with the flags of mosquitto_pub and mosquitto_sub. Package client
// makes their connections.
package messages

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/cmd/outcry/client"
	"github.com/outcry-mqtt/outcry/cmd/outcry/command"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// pubFlags are the flags of outcry pub.
type pubFlags struct {
	client.Flags
	topic       string
	message     string
	file        string
	lines       bool
	whole       bool
	empty       bool
	qos         int
	retain      bool
	repeat      int
	repeatDelay time.Duration
	props       propFlags
}

// propFlags are the flags for properties of MQTT 5.
type propFlags struct {
	user                       []string
	contentType, responseTopic string
	correlationData            string
	expiry                     time.Duration
}

const pubLong = `Publish messages to an MQTT broker, with the usual flags of mosquitto_pub.

With QoS 1 and 2 it waits for the acknowledgement of each message. MQTT has no answer to a QoS 0 message, and MQTT 3.x has no
answer that refuses a message. Outcry reports refused messages on $me/denied, and the command then fails.

Exit status: 0 all messages were sent (and acknowledged), 1 an error, or the broker refused.`

const pubExample = `  outcry pub -t greeting -m hello
  outcry pub -t ticker/ACME -m '{"p":123.45}' -r --token-file data/guest.jwt
  tail -f access.log | outcry pub -t logs/web -l -q 1
  outcry pub -t request -m ping --response-topic answers/me --correlation-data 7
  outcry pub --url wss://broker.example/mqtt -t a/b -f picture.png --content-type image/png`

// NewPubCommand returns the command outcry pub.
func NewPubCommand() *cobra.Command {
	f := &pubFlags{}
	return newClientCommand(&cobra.Command{
		Use:     "pub -t TOPIC (-m MESSAGE | -f FILE | -l | -s | -n)",
		Short:   "Publish messages",
		Long:    pubLong,
		Example: pubExample,
	}, f.run, f.registerPub, &f.Flags)
}

// newClientCommand completes a client command: it runs run, and has its own flags before those of the connection and the
// will.
func newClientCommand(
	cmd *cobra.Command, run func(*cobra.Command) error, own func(*pflag.FlagSet), connection *client.Flags,
) *cobra.Command {
	cmd.Args, cmd.SilenceUsage = cobra.NoArgs, true
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return run(cmd) }
	fs := cmd.Flags()
	fs.SortFlags = false
	own(fs)
	connection.Register(fs)
	connection.RegisterWill(fs)
	return cmd
}

func (f *pubFlags) registerPub(fs *pflag.FlagSet) {
	fs.StringVarP(&f.topic, "topic", "t", "", "topic to publish to")
	fs.StringVarP(&f.message, "message", "m", "", "the message")
	fs.StringVarP(&f.file, "file", "f", "", "send a file's content as the message")
	fs.BoolVarP(&f.lines, "stdin-line", "l", false, "send each line of standard input as a message")
	fs.BoolVarP(&f.whole, "stdin-file", "s", false, "send all of standard input as one message")
	fs.BoolVarP(&f.empty, "null-message", "n", false, "send an empty message; with -r it deletes the retained one")
	fs.IntVarP(&f.qos, "qos", "q", 0, "quality of service: 0, 1 or 2")
	fs.BoolVarP(&f.retain, "retain", "r", false, "retain the message")
	fs.IntVar(&f.repeat, "repeat", 1, "number of times to send the message")
	fs.DurationVar(&f.repeatDelay, "repeat-delay", 0, "pause between repetitions, e.g. 500ms")
	fs.StringArrayVar(&f.props.user, "user-property", nil, "user property NAME=VALUE, may be repeated (MQTT 5)")
	fs.StringVar(&f.props.contentType, "content-type", "", "content type (MQTT 5)")
	fs.StringVar(&f.props.responseTopic, "response-topic", "", "topic for a response (MQTT 5)")
	fs.StringVar(&f.props.correlationData, "correlation-data", "", "correlation data, which a response repeats (MQTT 5)")
	fs.DurationVar(&f.props.expiry, "expiry", 0, "message expiry interval, e.g. 1m (MQTT 5)")
}

func (f *pubFlags) run(cmd *cobra.Command) error {
	m, err := f.prepare()
	if err != nil {
		return err
	}
	o, err := f.Options()
	if err != nil {
		return err
	}
	if o.Version < 5 && !f.props.empty() {
		return errors.New("message properties need MQTT 5; leave out -V")
	}
	ctx, stop := command.Context(cmd)
	defer stop()
	denied := new(denials)
	c, err := client.Connect(ctx, o, denied.note)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := f.send(ctx, c, m, cmd.InOrStdin()); err != nil || f.qos > 0 && o.Version == 5 {
		return err
	}
	return denied.ask(ctx, c)
}

// send sends the messages of the flags.
func (f *pubFlags) send(ctx context.Context, c client.Conn, m *broker.Message, stdin io.Reader) (err error) {
	if f.lines {
		return publishLines(ctx, c, m, stdin)
	}
	if m.Payload, err = f.payload(stdin); err != nil {
		return err
	}
	return f.publish(ctx, c, m)
}

// prepare checks the flags and returns the message without its payload.
func (f *pubFlags) prepare() (*broker.Message, error) {
	switch {
	case f.topic == "":
		return nil, errors.New("no topic; give one with -t")
	case strings.ContainsAny(f.topic, "+#"):
		return nil, fmt.Errorf("topic %q: a topic to publish to has no + and #", f.topic)
	case f.sources() != 1:
		return nil, errors.New("give the message with one of -m, -f, -l, -s and -n")
	case f.repeat < 1 || f.repeat > 1 && f.lines:
		return nil, errors.New("--repeat needs a positive number, and cannot be used with -l")
	}
	if err := client.CheckTopicText("--response-topic", f.props.responseTopic); err != nil {
		return nil, err
	}
	if deletes := f.empty && f.retain; !deletes { // removes a message retained before the broker refused such topics
		if err := client.CheckTopicText("-t", f.topic); err != nil {
			return nil, err
		}
	}
	if err := client.CheckQoS("--qos", f.qos); err != nil {
		return nil, err
	}
	m := &broker.Message{Topic: f.topic, QoS: byte(f.qos), Retain: f.retain}
	return m, f.props.apply(m)
}

func (f *pubFlags) sources() (n int) {
	for _, given := range []bool{f.message != "", f.file != "", f.lines, f.whole, f.empty} {
		if given {
			n++
		}
	}
	return n
}

func (p *propFlags) empty() bool {
	return len(p.user) == 0 && p.contentType+p.responseTopic+p.correlationData == "" && p.expiry == 0
}

func (p *propFlags) apply(m *broker.Message) error {
	for _, u := range p.user {
		name, value, ok := strings.Cut(u, "=")
		if !ok {
			return fmt.Errorf("--user-property %s: want NAME=VALUE", u)
		}
		m.UserProperties = append(m.UserProperties, broker.UserProperty{Name: name, Value: value})
	}
	if p.expiry < 0 {
		return fmt.Errorf("--expiry %v: want a positive time", p.expiry)
	}
	m.ContentType, m.ResponseTopic, m.MessageExpiry = p.contentType, p.responseTopic, p.expiry
	if p.correlationData != "" {
		m.CorrelationData = []byte(p.correlationData)
	}
	return nil
}

func (f *pubFlags) payload(stdin io.Reader) ([]byte, error) {
	switch {
	case f.file != "":
		return os.ReadFile(f.file)
	case f.whole:
		return io.ReadAll(stdin)
	default:
		return []byte(f.message), nil
	}
}

func (f *pubFlags) publish(ctx context.Context, c client.Conn, m *broker.Message) error {
	for i := range f.repeat {
		if i > 0 && !sleep(ctx, f.repeatDelay) {
			return nil
		}
		if err := c.Publish(ctx, m); err != nil {
			return err
		}
	}
	return lossOf(c)
}

// lossOf returns the reason for the connection's end, if it has ended.
func lossOf(c client.Conn) error {
	select {
	case err := <-c.Lost():
		return err
	default:
		return nil
	}
}

// sleep waits for d or until ctx ends. It reports whether d has passed.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return ctx.Err() == nil
	}
}

// publishLines sends each line as soon as it is read, until the input, ctx or the connection ends.
func publishLines(ctx context.Context, c client.Conn, m *broker.Message, in io.Reader) error {
	lines, ends := scanLines(ctx, in)
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-c.Lost():
			return err
		case line, more := <-lines:
			if !more {
				return <-ends
			}
			m.Payload = line
			if err := c.Publish(ctx, m); err != nil {
				return err
			}
		}
	}
}

// maxLine bounds a line with -l, in bytes.
const maxLine = 16 << 20

// scanLines reads lines in a goroutine. It may stay in its read when ctx ends: the program ends then, too.
func scanLines(ctx context.Context, in io.Reader) (<-chan []byte, <-chan error) {
	lines, ends := make(chan []byte), make(chan error, 1)
	go func() {
		defer close(lines)
		s := bufio.NewScanner(in)
		s.Buffer(nil, maxLine)
		for s.Scan() {
			select {
			case lines <- append([]byte(nil), s.Bytes()...):
			case <-ctx.Done():
				ends <- nil
				return
			}
		}
		ends <- s.Err()
	}()
	return lines, ends
}
