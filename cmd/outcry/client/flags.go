package client

import (
	"crypto/rand"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// TokenEnv names the environment variable with a client's password, which keeps it off the command line.
const TokenEnv = "OUTCRY_TOKEN"

// Flags are the connection flags of the client commands, named as in mosquitto_pub.
type Flags struct {
	host, url string
	port      int
	user      string
	password  string
	tokenFile string
	ID        string
	version   string
	keepAlive time.Duration
	tls       TLSFlags
	will      willFlags
}

// TLSFlags are the flags for TLS.
type TLSFlags struct {
	cafile, cert, key string
	insecure          bool
}

type willFlags struct {
	topic, payload string
	qos            int
	retain         bool
	delay          time.Duration
}

// Register registers the flags of the connection.
func (f *Flags) Register(fs *pflag.FlagSet) {
	fs.Bool("help", false, "show this help") // -h is the host, as in mosquitto_pub
	fs.StringVarP(&f.host, "host", "h", "127.0.0.1", "the broker's host")
	fs.IntVarP(&f.port, "port", "p", 0, "the broker's port (default 1883, with TLS 8883)")
	fs.StringVar(&f.url, "url", "", "URL of the broker instead: mqtt://, mqtts://, ws://, wss:// or unix:///path")
	fs.StringVarP(&f.user, "username", "u", "", "user name (default: the token's subject)")
	fs.StringVarP(&f.password, "pw", "P", "", "password or token (better: --token-file or $"+TokenEnv+", which ps does not show)")
	fs.StringVar(&f.tokenFile, "token-file", "", "file with the password or token")
	fs.StringVarP(&f.ID, "id", "i", "", "client identifier (default: outcry- and a random text)")
	fs.StringVarP(&f.version, "protocol-version", "V", "5", "MQTT version: 3 (3.1), 4 (3.1.1) or 5")
	fs.DurationVarP(&f.keepAlive, "keepalive", "k", time.Minute, "keep alive")
	f.tls.Register(fs)
}

// Register registers the flags.
func (f *TLSFlags) Register(fs *pflag.FlagSet) {
	fs.StringVar(&f.cafile, "cafile", "", "PEM file of the certificate authorities to trust; implies TLS")
	fs.StringVar(&f.cert, "cert", "", "PEM file of the client's certificate")
	fs.StringVar(&f.key, "key", "", "PEM file of the client's private key")
	fs.BoolVar(&f.insecure, "insecure", false, "with TLS: do not check the broker's certificate")
}

// RegisterWill registers the flags of a will.
func (f *Flags) RegisterWill(fs *pflag.FlagSet) {
	fs.StringVar(&f.will.topic, "will-topic", "", "topic of the will, which the broker publishes if the connection is lost")
	fs.StringVar(&f.will.payload, "will-payload", "", "message of the will")
	fs.IntVar(&f.will.qos, "will-qos", 0, "QoS of the will")
	fs.BoolVar(&f.will.retain, "will-retain", false, "retain the will")
	fs.DurationVar(&f.will.delay, "will-delay", 0, "delay of the will (MQTT 5)")
}

// randomID returns a client identifier of 19 characters: MQTT 3.1 allows 23.
func randomID() string { return "outcry-" + strings.ToLower(rand.Text()[:12]) }
