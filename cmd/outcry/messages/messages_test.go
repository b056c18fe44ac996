package messages

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/cmd/outcry/command"
	"github.com/outcry-mqtt/outcry/cmd/outcry/outcrytest"
	"github.com/spf13/cobra"
)

func TestClientFlagErrors(t *testing.T) {
	noPEM := outcrytest.File(t, "nothing")
	tests := []struct {
		name string
		cmd  func() *cobra.Command
		args []string
		want string
	}{
		{"pub without topic", NewPubCommand, []string{"-m", "x"}, "give one with -t"},
		{"pub to a wildcard", NewPubCommand, []string{"-t", "a/#", "-m", "x"}, "has no + and #"},
		{"pub of nothing", NewPubCommand, []string{"-t", "a"}, "one of -m, -f, -l, -s and -n"},
		{"pub of two things", NewPubCommand, []string{"-t", "a", "-m", "x", "-n"}, "one of -m, -f, -l, -s and -n"},
		{"QoS", NewPubCommand, []string{"-t", "a", "-n", "-q", "3"}, "--qos 3: want 0, 1 or 2"},
		{"will QoS", NewPubCommand, []string{"-t", "a", "-n", "--will-topic", "w", "--will-qos", "-1"}, "--will-qos -1: want 0, 1 or 2"},
		{"will without topic", NewPubCommand, []string{"-t", "a", "-n", "--will-retain"}, "a will needs --will-topic"},
		{"control character", NewPubCommand, []string{"-t", "a\nb", "-m", "x"}, `-t "a\nb": U+000A is a control character or a non-character`},
		{"non-character", NewPubCommand, []string{"-t", "a\uffffb", "-n"}, "U+FFFF is a control character or a non-character"},
		{"will with a control character", NewPubCommand, []string{"-t", "a", "-n", "--will-topic", "w\x7f"}, "--will-topic"},
		{"filter with a control character", NewSubCommand, []string{"-t", "a/#", "-t", "a\u0085b"}, "U+0085 is a control character"},
		{"repeat", NewPubCommand, []string{"-t", "a", "-n", "--repeat", "0"}, "--repeat needs a positive number"},
		{"property without a value", NewPubCommand, []string{"-t", "a", "-n", "--user-property", "k"}, "want NAME=VALUE"},
		{"property in 3.1.1", NewPubCommand, []string{"-t", "a", "-n", "-V", "4", "--user-property", "k=v"}, "need MQTT 5"},
		{"version", NewPubCommand, []string{"-t", "a", "-n", "-V", "6"}, "want 3 (MQTT 3.1), 4 (3.1.1) or 5"},
		{"URL", NewPubCommand, []string{"-t", "a", "-n", "--url", "http://h"}, `unknown scheme "http"`},
		{"two tokens", NewPubCommand, []string{"-t", "a", "-n", "-P", "x", "--token-file", "y"}, "give either a token or --token-file"},
		{"token file", NewPubCommand, []string{"-t", "a", "-n", "--token-file", "/nowhere/t"}, "--token-file: open /nowhere/t: no such file"},
		{"certificate authority", NewPubCommand, []string{"-t", "a", "-n", "--cafile", noPEM}, "has no certificate in PEM form"},
		{"key without certificate", NewPubCommand, []string{"-t", "a", "-n", "--key", noPEM}, "--cert and --key"},
		{"keep-alive", NewPubCommand, []string{"-t", "a", "-n", "-k", "24h"}, "at most 65535s"},
		{"sub without topic", NewSubCommand, nil, "give at least one with -t"},
		{"sub that prints nothing", NewSubCommand, []string{"-t", "a", "-R", "--retained-only"}, "exclude each other"},
		{"kept session without id", NewSubCommand, []string{"-t", "a", "-c"}, "give one with -i"},
		{"two forms", NewSubCommand, []string{"-t", "a", "-v", "--json"}, "use only one of -v, --json and -F"},
		{"format", NewSubCommand, []string{"-t", "a", "-F", "%y"}, "%y is unknown"},
		{"format's end", NewSubCommand, []string{"-t", "a", "-F", "a%"}, "write %% for a %"},
		{"timeout", NewSubCommand, []string{"-t", "a", "-W", "soon"}, "want seconds, or a duration"},
		{"no-local in 3.1.1", NewSubCommand, []string{"-t", "a", "-V", "4", "--no-local"}, "needs MQTT 5"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := outcrytest.RunCommand(t, tt.cmd(), tt.args...)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

// answer starts a server that answers the first bytes of each connection with reply, and closes it after the client
// has sent nothing for patience.
func answer(t *testing.T, reply string, patience time.Duration) (port string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Read(make([]byte, 4096))
			c.Write([]byte(reply))
			go func() {
				defer c.Close()
				_ = c.SetReadDeadline(time.Now().Add(patience))
				io.Copy(io.Discard, c)
			}()
		}
	}()
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return port
}

func TestConnectionErrors(t *testing.T) {
	expired := outcrytest.Token(t, "ada", -190*time.Second)
	reason := "\x1f\x00\x0etoken expired!"
	tests := []struct {
		name, reply string
		args        []string
		want        string
	}{
		{"nothing", "", nil, "closed the connection without an MQTT answer"},
		{"not MQTT", "HTTP/1.1 400 Bad Request\r\n" + strings.Repeat("Header: value\r\n", 20), nil, "answered, but not as an MQTT broker does"},
		{"reason of the broker", "\x20\x14\x00\x87\x11" + reason, []string{"-P", expired},
			"connection refused by the broker: not authorized (0x87): token expired!"},
		{"reason of the token", "\x20\x03\x00\x87\x00", []string{"-P", expired},
			"connection refused by the broker: not authorized (0x87): the token expired 3m ago"},
		{"no reason", "\x20\x03\x00\x87\x00", []string{"-u", "a", "-P", "b"}, "connection refused by the broker: not authorized (0x87)"},
		{"3.1.1", "\x20\x02\x00\x05", []string{"-V", "4", "-P", expired},
			"connection refused by the broker: not authorized (return code 5): the token expired 3m ago"},
		{"3.1.1, user", "\x20\x02\x00\x04", []string{"-V", "4"}, "bad user name or password (return code 4)"},
		{"3.1, version", "\x20\x02\x00\x01", []string{"-V", "3"}, "unacceptable protocol version (return code 1)"},
		{"3.1.1, nothing", "", []string{"-V", "4"}, "closed the connection without an MQTT answer"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			args := append([]string{"-p", answer(t, tt.reply, 0), "-t", "a", "-m", "x"}, tt.args...)
			_, _, err := outcrytest.RunCommand(t, NewPubCommand(), args...)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
			_, _, err = outcrytest.RunCommand(t, NewSubCommand(), append([]string{"-p", args[1], "-t", "a"}, tt.args...)...)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("sub: error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestNobodyListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	_, _, err = outcrytest.RunCommand(t, NewPubCommand(), "-p", port, "-t", "a", "-m", "x")
	want := "cannot connect to mqtt://127.0.0.1:" + port + ": connection refused; is the broker running there? start one with: outcry serve"
	if err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	_, _, err = outcrytest.RunCommand(t, NewPubCommand(), "--url", "unix:///nowhere/o.sock", "-t", "a", "-m", "x")
	if err == nil || !strings.Contains(err.Error(), "is the broker running there?") {
		t.Errorf("unix: error %v", err)
	}
}

func TestTimeoutHasItsExitStatus(t *testing.T) {
	port := answer(t, "\x20\x03\x00\x00\x00", time.Minute) // accepts the connection and then sends nothing
	_, _, err := outcrytest.RunCommand(t, NewSubCommand(), "-p", port, "-t", "a", "-W", "0.2")
	var status *command.ExitError
	if !errors.As(err, &status) || status.ExitCode() != 27 || err.Error() != "" {
		t.Errorf("error %v, want a silent exit status of 27", err)
	}
}

func TestSleepEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if sleep(ctx, time.Hour) || sleep(ctx, 0) {
		t.Error("slept on although the context had ended")
	}
}
