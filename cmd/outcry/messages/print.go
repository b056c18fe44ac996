package messages

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/spf13/pflag"
	"golang.org/x/term"
)

// printFlags are the output format of outcry sub.
type printFlags struct {
	verbose   bool
	json      bool
	format    string
	noNewline bool
}

func (f *printFlags) register(fs *pflag.FlagSet) {
	fs.BoolVarP(&f.verbose, "verbose", "v", false, "print the topic before each message")
	fs.BoolVar(&f.json, "json", false, "print each message as a JSON object on a line")
	fs.StringVarP(&f.format, "format", "F", "", "print each message by a format, see above")
	fs.BoolVarP(&f.noNewline, "no-newline", "N", false, "no end of line after a message")
}

func (f *printFlags) check() error {
	forms := 0
	for _, given := range []bool{f.verbose, f.json, f.format != ""} {
		if given {
			forms++
		}
	}
	if forms > 1 {
		return errors.New("use only one of -v, --json and -F")
	}
	return checkFormat(f.format)
}

// messagePrinter prints messages.
type messagePrinter struct {
	flags  *printFlags
	colour bool
}

func (f *printFlags) printer(out io.Writer) *messagePrinter {
	return &messagePrinter{flags: f, colour: showsColour(out)}
}

// showsColour reports whether out is a terminal with colours (without NO_COLOR).
func showsColour(out io.Writer) bool {
	file, ok := out.(*os.File)
	return ok && os.Getenv("NO_COLOR") == "" && term.IsTerminal(int(file.Fd()))
}

func (p *messagePrinter) print(w *bufio.Writer, m *broker.Message, at time.Time) error {
	switch {
	case p.flags.json:
		w.Write(messageJSON(m, at))
	case p.flags.format != "":
		printFormat(w, p.flags.format, m, at)
	case p.flags.verbose && p.colour:
		fmt.Fprintf(w, "\x1b[36m%s\x1b[0m %s", m.Topic, m.Payload)
	case p.flags.verbose:
		fmt.Fprintf(w, "%s %s", m.Topic, m.Payload)
	default:
		w.Write(m.Payload)
	}
	if p.flags.noNewline {
		return nil
	}
	return w.WriteByte('\n') // bufio keeps the first error
}

// jsonMessage is the form of a message with --json.
type jsonMessage struct {
	Topic      string     `json:"topic"`
	Payload    *string    `json:"payload,omitempty"`
	PayloadB64 string     `json:"payload_b64,omitempty"`
	QoS        byte       `json:"qos"`
	Retain     bool       `json:"retain"`
	Time       time.Time  `json:"time"`
	Props      *jsonProps `json:"props,omitempty"`
}

// jsonProps is the form of a message's properties with --json.
type jsonProps struct {
	PayloadFormat      byte       `json:"payload_format,omitempty"`
	Expiry             int64      `json:"expiry_s,omitempty"`
	ContentType        string     `json:"content_type,omitempty"`
	ResponseTopic      string     `json:"response_topic,omitempty"`
	CorrelationData    string     `json:"correlation_data,omitempty"`
	CorrelationDataB64 string     `json:"correlation_data_b64,omitempty"`
	User               []jsonUser `json:"user,omitempty"`
}

type jsonUser struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

func messageJSON(m *broker.Message, at time.Time) []byte {
	v := jsonMessage{Topic: m.Topic, QoS: m.QoS, Retain: m.Retain, Time: at.UTC(), Props: messageProps(m)}
	if utf8.Valid(m.Payload) {
		text := string(m.Payload)
		v.Payload = &text
	} else {
		v.PayloadB64 = base64.StdEncoding.EncodeToString(m.Payload)
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err) // every field has a JSON form
	}
	return []byte(strings.TrimSuffix(b.String(), "\n"))
}

func messageProps(m *broker.Message) *jsonProps {
	p := &jsonProps{
		PayloadFormat: m.PayloadFormat,
		Expiry:        int64(m.MessageExpiry / time.Second),
		ContentType:   m.ContentType,
		ResponseTopic: m.ResponseTopic,
	}
	if utf8.Valid(m.CorrelationData) {
		p.CorrelationData = string(m.CorrelationData)
	} else {
		p.CorrelationDataB64 = base64.StdEncoding.EncodeToString(m.CorrelationData)
	}
	for _, u := range m.UserProperties {
		p.User = append(p.User, jsonUser(u))
	}
	if len(p.User) == 0 && p.PayloadFormat == 0 && p.Expiry == 0 &&
		p.ContentType+p.ResponseTopic+p.CorrelationData+p.CorrelationDataB64 == "" {
		return nil
	}
	return p
}

// formats are the conversions behind a % in a format.
var formats = map[byte]func(m *broker.Message, at time.Time) string{
	'%': func(*broker.Message, time.Time) string { return "%" },
	't': func(m *broker.Message, _ time.Time) string { return m.Topic },
	'p': func(m *broker.Message, _ time.Time) string { return string(m.Payload) },
	'x': func(m *broker.Message, _ time.Time) string { return fmt.Sprintf("%x", m.Payload) },
	'l': func(m *broker.Message, _ time.Time) string { return strconv.Itoa(len(m.Payload)) },
	'q': func(m *broker.Message, _ time.Time) string { return strconv.Itoa(int(m.QoS)) },
	'r': func(m *broker.Message, _ time.Time) string {
		if m.Retain {
			return "1"
		}
		return "0"
	},
	'U': func(_ *broker.Message, at time.Time) string {
		return fmt.Sprintf("%d.%09d", at.Unix(), at.Nanosecond())
	},
	'I': func(_ *broker.Message, at time.Time) string { return at.Format("2006-01-02T15:04:05-0700") },
	'j': func(m *broker.Message, at time.Time) string { return string(messageJSON(m, at)) },
}

func checkFormat(format string) error {
	for rest := format; ; {
		_, after, found := strings.Cut(rest, "%")
		if !found {
			return nil
		}
		if after == "" {
			return fmt.Errorf("--format %q ends with a lone %%; write %%%% for a %%", format)
		}
		if formats[after[0]] == nil {
			return fmt.Errorf("--format: %%%c is unknown; there are %%t %%p %%x %%l %%q %%r %%U %%I %%j %%%%", after[0])
		}
		rest = after[1:]
	}
}

var escapes = map[byte]string{'n': "\n", 't': "\t", 'r': "\r", '\\': "\\", '0': "\x00"}

// printFormat prints by a format that checkFormat has accepted.
func printFormat(w *bufio.Writer, format string, m *broker.Message, at time.Time) {
	for i := 0; i < len(format); i++ {
		c := format[i]
		switch {
		case c == '%':
			i++
			w.WriteString(formats[format[i]](m, at))
		case c == '\\' && i+1 < len(format) && escapes[format[i+1]] != "":
			i++
			w.WriteString(escapes[format[i]])
		default:
			w.WriteByte(c)
		}
	}
}
