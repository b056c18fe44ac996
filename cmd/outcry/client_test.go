package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/spf13/cobra"
)

// runCommand runs a command in this process.
func runCommand(t *testing.T, cmd *cobra.Command, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&errs)
	cmd.SetArgs(args)
	cmd.SilenceErrors = true
	err = cmd.ExecuteContext(t.Context())
	return out.String(), errs.String(), err
}

func testToken(t *testing.T, user string, expires time.Duration) string {
	t.Helper()
	claims := jwt.RegisteredClaims{Subject: user, ExpiresAt: jwt.NewNumericDate(time.Now().Add(expires))}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func testFile(t *testing.T, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// parse gives the options that a client command's arguments stand for.
func parse(t *testing.T, args ...string) (*clientOptions, error) {
	t.Helper()
	f := &pubFlags{}
	cmd := &cobra.Command{RunE: func(*cobra.Command, []string) error { return nil }}
	f.registerPub(cmd.Flags())
	if err := cmd.ParseFlags(args); err != nil {
		return nil, err
	}
	return f.options()
}

func TestBrokerURLs(t *testing.T) {
	tests := []struct{ name, args, want string }{
		{"default", "", "mqtt://127.0.0.1:1883"},
		{"host and port", "-h broker -p 1884", "mqtt://broker:1884"},
		{"IPv6", "-h ::1", "mqtt://[::1]:1883"},
		{"TLS", "-h broker --insecure", "mqtts://broker:8883"},
		{"TLS and port", "-h broker -p 1 --insecure", "mqtts://broker:1"},
		{"URL", "--url ws://broker:8083", "ws://broker:8083/mqtt"},
		{"unix", "--url unix:///run/o.sock", "unix:///run/o.sock"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o, err := parse(t, strings.Fields(tt.args)...)
			if err != nil {
				t.Fatal(err)
			}
			if o.url.String() != tt.want {
				t.Errorf("%s, want %s", o.url, tt.want)
			}
		})
	}
}

func TestCredentials(t *testing.T) {
	token := testToken(t, "ada", time.Hour)
	file := testFile(t, token+"\n")
	tests := []struct {
		name, env      string
		args           []string
		user, password string
	}{
		{name: "none"},
		{name: "flags", args: []string{"-u", "u", "-P", "p"}, user: "u", password: "p"},
		{name: "user alone", args: []string{"-u", "u"}, user: "u"},
		{name: "token's subject", args: []string{"-P", token}, user: "ada", password: token},
		{name: "another user with a token", args: []string{"-P", token, "-u", "bela"}, user: "bela", password: token},
		{name: "password without a user", args: []string{"-P", "p"}, user: "token", password: "p"},
		{name: "file", args: []string{"--token-file", file}, user: "ada", password: token},
		{name: "environment", env: token, user: "ada", password: token},
		{name: "flag before environment", env: token, args: []string{"-u", "u", "-P", "p"}, user: "u", password: "p"},
		{name: "URL", args: []string{"--url", "mqtt://u:p@h"}, user: "u", password: "p"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv(tokenEnv, tt.env)
			o, err := parse(t, tt.args...)
			if err != nil {
				t.Fatal(err)
			}
			if o.user != tt.user || string(o.password) != tt.password {
				t.Errorf("user %q, password %q; want %q, %q", o.user, o.password, tt.user, tt.password)
			}
		})
	}
}

func TestClientFlagErrors(t *testing.T) {
	noPEM := testFile(t, "nothing")
	tests := []struct {
		name string
		cmd  func() *cobra.Command
		args []string
		want string
	}{
		{"pub without topic", newPubCommand, []string{"-m", "x"}, "give one with -t"},
		{"pub to a wildcard", newPubCommand, []string{"-t", "a/#", "-m", "x"}, "without + and #"},
		{"pub of nothing", newPubCommand, []string{"-t", "a"}, "one of -m, -f, -l, -s and -n"},
		{"pub of two things", newPubCommand, []string{"-t", "a", "-m", "x", "-n"}, "one of -m, -f, -l, -s and -n"},
		{"QoS", newPubCommand, []string{"-t", "a", "-n", "-q", "3"}, "--qos 3: want 0, 1 or 2"},
		{"will QoS", newPubCommand, []string{"-t", "a", "-n", "--will-topic", "w", "--will-qos", "-1"}, "--will-qos -1: want 0, 1 or 2"},
		{"will without topic", newPubCommand, []string{"-t", "a", "-n", "--will-retain"}, "a will needs --will-topic"},
		{"repeat", newPubCommand, []string{"-t", "a", "-n", "--repeat", "0"}, "--repeat wants a positive number"},
		{"property without a value", newPubCommand, []string{"-t", "a", "-n", "--user-property", "k"}, "want NAME=VALUE"},
		{"property in 3.1.1", newPubCommand, []string{"-t", "a", "-n", "-V", "4", "--user-property", "k=v"}, "need MQTT 5"},
		{"version", newPubCommand, []string{"-t", "a", "-n", "-V", "6"}, "want 3 (MQTT 3.1), 4 (3.1.1) or 5"},
		{"URL", newPubCommand, []string{"-t", "a", "-n", "--url", "http://h"}, `unknown scheme "http"`},
		{"two tokens", newPubCommand, []string{"-t", "a", "-n", "-P", "x", "--token-file", "y"}, "use one"},
		{"token file", newPubCommand, []string{"-t", "a", "-n", "--token-file", "/nowhere/t"}, "--token-file: open /nowhere/t: no such file"},
		{"certificate authority", newPubCommand, []string{"-t", "a", "-n", "--cafile", noPEM}, "has no certificate in PEM form"},
		{"key without certificate", newPubCommand, []string{"-t", "a", "-n", "--key", noPEM}, "--cert and --key"},
		{"keep-alive", newPubCommand, []string{"-t", "a", "-n", "-k", "24h"}, "at most 65535s"},
		{"sub without topic", newSubCommand, nil, "give at least one with -t"},
		{"sub that prints nothing", newSubCommand, []string{"-t", "a", "-R", "--retained-only"}, "leave nothing to print"},
		{"kept session without id", newSubCommand, []string{"-t", "a", "-c"}, "give one with -i"},
		{"two forms", newSubCommand, []string{"-t", "a", "-v", "--json"}, "do not go together"},
		{"format", newSubCommand, []string{"-t", "a", "-F", "%y"}, "%y is unknown"},
		{"format's end", newSubCommand, []string{"-t", "a", "-F", "a%"}, "write %% for a %"},
		{"timeout", newSubCommand, []string{"-t", "a", "-W", "soon"}, "want seconds, or a duration"},
		{"no-local in 3.1.1", newSubCommand, []string{"-t", "a", "-V", "4", "--no-local"}, "needs MQTT 5"},
		{"simulate with two tokens", newSimulateCommand, []string{"ticker", "--token", "t", "--secret-file", "s"}, "leave out --token"},
		{"simulate without its secret", newSimulateCommand, []string{"ticker", "--secret-file", "/nowhere/s"}, "secret file /nowhere/s: no such file"},
		{"simulate rate", newSimulateCommand, []string{"ticker", "--rate", "-1"}, "rate must be above 0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := runCommand(t, tt.cmd(), tt.args...)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

// answer starts a server that answers the first bytes of each connection with reply, and closes it once the client has
// sent nothing for as long as patience.
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
	expired := testToken(t, "ada", -190*time.Second)
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
			_, _, err := runCommand(t, newPubCommand(), args...)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
			_, _, err = runCommand(t, newSubCommand(), append([]string{"-p", args[1], "-t", "a"}, tt.args...)...)
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
	_, _, err = runCommand(t, newPubCommand(), "-p", port, "-t", "a", "-m", "x")
	want := "cannot connect to mqtt://127.0.0.1:" + port + ": connection refused; is the broker running there? start one with: outcry serve"
	if err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	_, _, err = runCommand(t, newPubCommand(), "--url", "unix:///nowhere/o.sock", "-t", "a", "-m", "x")
	if err == nil || !strings.Contains(err.Error(), "is the broker running there?") {
		t.Errorf("unix: error %v", err)
	}
}

func TestTimeoutHasItsExitStatus(t *testing.T) {
	port := answer(t, "\x20\x03\x00\x00\x00", time.Minute) // takes the connection, then says nothing
	_, _, err := runCommand(t, newSubCommand(), "-p", port, "-t", "a", "-W", "0.2")
	var status *exitError
	if !errors.As(err, &status) || status.ExitCode() != 27 || err.Error() != "" {
		t.Errorf("error %v, want a silent exit status of 27", err)
	}
}

func TestTokenTrouble(t *testing.T) {
	token := testToken(t, "a", 0)
	tests := []struct {
		name, token string
		after       time.Duration // the token's expiry
		want        string
	}{
		{"none", "", 0, ""},
		{"a password", "hunter2", 0, ""},
		{"valid", token, -time.Minute, ""},
		{"seconds", token, 5*time.Second + 1, "the token expired 5s ago"},
		{"minutes", token, 3 * time.Minute, "the token expired 3m ago"},
		{"hours", token, 30 * time.Hour, "the token expired 30h ago"},
		{"days", token, 72 * time.Hour, "the token expired 3 days ago"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			expiry := tokenClaims(token).ExpiresAt.Time
			if got := tokenTrouble(tt.token, expiry.Add(tt.after)); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

func TestSleepEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if sleep(ctx, time.Hour) || sleep(ctx, 0) {
		t.Error("slept on although the context had ended")
	}
}
