package main

import (
	"context"
	"crypto/rand"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// tokenEnv names the environment variable that has a client's password, so that it stands on no command line.
const tokenEnv = "OUTCRY_TOKEN"

// exitError ends the program with an exit status of its own. Without an error inside it has nothing to print.
type exitError struct {
	code int
	err  error
}

// ExitCode is the exit status.
func (e *exitError) ExitCode() int { return e.code }

// Error tells the error inside, or nothing.
func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

// Unwrap gives the error inside.
func (e *exitError) Unwrap() error { return e.err }

// clientFlags are the flags that the client commands share, named as mosquitto_pub's are.
type clientFlags struct {
	host, url string
	port      int
	user      string
	password  string
	tokenFile string
	id        string
	version   string
	keepAlive time.Duration
	tls       tlsFlags
	will      willFlags
}

type tlsFlags struct {
	cafile, cert, key string
	insecure          bool
}

type willFlags struct {
	topic, payload string
	qos            int
	retain         bool
	delay          time.Duration
}

func (f *clientFlags) register(fs *pflag.FlagSet) {
	fs.Bool("help", false, "show this help") // -h is the host, as in mosquitto_pub
	fs.StringVarP(&f.host, "host", "h", "127.0.0.1", "the broker's host")
	fs.IntVarP(&f.port, "port", "p", 0, "the broker's port (default 1883, with TLS 8883)")
	fs.StringVar(&f.url, "url", "", "the broker's URL instead: mqtt://, mqtts://, ws://, wss:// or unix:///path")
	fs.StringVarP(&f.user, "username", "u", "", "user name (default: the token's subject)")
	fs.StringVarP(&f.password, "pw", "P", "", "password or token (better: --token-file or $"+tokenEnv+", which ps does not show)")
	fs.StringVar(&f.tokenFile, "token-file", "", "file with the password or token")
	fs.StringVarP(&f.id, "id", "i", "", "client identifier (default: outcry- and something random)")
	fs.StringVarP(&f.version, "protocol-version", "V", "5", "MQTT version: 3 (3.1), 4 (3.1.1) or 5")
	fs.DurationVarP(&f.keepAlive, "keepalive", "k", time.Minute, "keep-alive time")
	f.tls.register(fs)
}

func (f *tlsFlags) register(fs *pflag.FlagSet) {
	fs.StringVar(&f.cafile, "cafile", "", "PEM file of the certificate authorities to trust; implies TLS")
	fs.StringVar(&f.cert, "cert", "", "PEM file of the client's certificate")
	fs.StringVar(&f.key, "key", "", "PEM file of its key")
	fs.BoolVar(&f.insecure, "insecure", false, "with TLS: do not check the broker's certificate")
}

func (f *clientFlags) registerWill(fs *pflag.FlagSet) {
	fs.StringVar(&f.will.topic, "will-topic", "", "topic of the will, which the broker publishes if the connection is lost")
	fs.StringVar(&f.will.payload, "will-payload", "", "message of the will")
	fs.IntVar(&f.will.qos, "will-qos", 0, "QoS of the will")
	fs.BoolVar(&f.will.retain, "will-retain", false, "retain the will")
	fs.DurationVar(&f.will.delay, "will-delay", 0, "delay of the will (MQTT 5)")
}

// randomID is a client identifier of 19 characters: MQTT 3.1 allows 23.
func randomID() string { return "outcry-" + strings.ToLower(rand.Text()[:12]) }

// clientContext ends with the command's, or at the first SIGINT or SIGTERM.
func clientContext(cmd *cobra.Command) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
}
