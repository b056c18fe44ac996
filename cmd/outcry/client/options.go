package client

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"
	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/topic"
	"github.com/outcry-mqtt/outcry/devices"
)

// Options are the parameters of a connection.
type Options struct {
	URL         *url.URL
	TLS         *tls.Config
	Version     byte // 3, 4 or 5
	ID          string
	User        string
	Password    []byte
	KeepAlive   time.Duration
	KeepSession bool
	will        *broker.Message
	willDelay   time.Duration
}

// Options checks the flags and returns the parameters.
func (f *Flags) Options() (*Options, error) {
	o := &Options{ID: cmp.Or(f.ID, randomID()), KeepAlive: f.keepAlive}
	var err error
	if o.Version, err = parseVersion(f.version); err != nil {
		return nil, err
	}
	if o.TLS, err = f.tls.Config(); err != nil {
		return nil, err
	}
	if o.URL, err = f.brokerURL(o.TLS != nil); err != nil {
		return nil, err
	}
	if o.KeepAlive < 0 || o.KeepAlive > 65535*time.Second {
		return nil, fmt.Errorf("--keepalive %v: want at most 65535s", f.keepAlive)
	}
	if o.User, o.Password, err = f.Credentials(o.URL.User); err != nil {
		return nil, err
	}
	return o, f.will.apply(o)
}

func (f *Flags) brokerURL(secure bool) (*url.URL, error) {
	if f.url != "" {
		return devices.ParseURL(f.url)
	}
	scheme, port := "mqtt", 1883
	if secure {
		scheme, port = "mqtts", 8883
	}
	port = cmp.Or(f.port, port)
	return devices.ParseURL(scheme + "://" + net.JoinHostPort(strings.Trim(f.host, "[]"), strconv.Itoa(port)))
}

// Credentials returns user name and password from the flags, the file, the environment or the URL, in this order.
func (f *Flags) Credentials(inURL *url.Userinfo) (user string, password []byte, err error) {
	secret, err := ReadToken(f.password, f.tokenFile)
	if err != nil {
		return "", nil, err
	}
	if p, ok := inURL.Password(); ok && secret == "" {
		secret = p
	}
	user = cmp.Or(f.user, inURL.Username())
	if secret == "" {
		return user, nil, nil
	}
	return cmp.Or(user, TokenClaims(secret).Subject, "token"), []byte(secret), nil
}

// ReadToken returns the given token, or the one in the file or the environment.
func ReadToken(given, file string) (string, error) {
	switch {
	case given != "" && file != "":
		return "", errors.New("give either a token or --token-file")
	case given != "":
		return given, nil
	case file != "":
		b, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("--token-file: %w", err)
		}
		return strings.TrimSpace(string(b)), nil
	default:
		return os.Getenv(TokenEnv), nil
	}
}

// TokenClaims returns a JWT's unverified claims; none if the text is no JWT.
func TokenClaims(token string) jwt.RegisteredClaims {
	var c jwt.RegisteredClaims
	if _, _, err := jwt.NewParser().ParseUnverified(token, &c); err != nil {
		return jwt.RegisteredClaims{}
	}
	return c
}

// Config returns the TLS configuration of the flags, nil if none is set. It reads the files that they name.
func (f *TLSFlags) Config() (*tls.Config, error) {
	if *f == (TLSFlags{}) {
		return nil, nil
	}
	c := &tls.Config{InsecureSkipVerify: f.insecure, MinVersion: tls.VersionTLS12}
	if f.cafile != "" {
		pem, err := os.ReadFile(f.cafile)
		if err != nil {
			return nil, fmt.Errorf("--cafile: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--cafile %s: has no certificate in PEM form", f.cafile)
		}
	}
	if f.cert != "" || f.key != "" {
		pair, err := tls.LoadX509KeyPair(f.cert, cmp.Or(f.key, f.cert))
		if err != nil {
			return nil, fmt.Errorf("--cert and --key: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

func (f *willFlags) apply(o *Options) error {
	if f.topic == "" {
		if *f != (willFlags{}) {
			return errors.New("a will needs --will-topic")
		}
		return nil
	}
	if err := CheckTopicText("--will-topic", f.topic); err != nil {
		return err
	}
	if err := CheckQoS("--will-qos", f.qos); err != nil {
		return err
	}
	o.will = &broker.Message{Topic: f.topic, Payload: []byte(f.payload), QoS: byte(f.qos), Retain: f.retain}
	o.willDelay = f.delay
	return nil
}

// CheckTopicText refuses a topic name or filter with characters that brokers and other clients refuse.
func CheckTopicText(flag, text string) error {
	if i := strings.IndexFunc(text, topic.IsControl); i >= 0 {
		r, _ := utf8.DecodeRuneInString(text[i:])
		return fmt.Errorf("%s %q: %U is a control character or a non-character, which MQTT lets brokers and clients refuse in topics", flag, text, r)
	}
	return nil
}

// CheckQoS refuses an invalid QoS in a flag.
func CheckQoS(flag string, qos int) error {
	if qos < 0 || qos > 2 {
		return fmt.Errorf("%s %d: want 0, 1 or 2", flag, qos)
	}
	return nil
}

func parseVersion(s string) (byte, error) {
	switch strings.ToLower(strings.TrimPrefix(strings.ToLower(s), "mqttv")) {
	case "3", "31", "3.1":
		return 3, nil
	case "4", "311", "3.1.1":
		return 4, nil
	case "5", "5.0":
		return 5, nil
	}
	return 0, fmt.Errorf("--protocol-version %s: want 3 (MQTT 3.1), 4 (3.1.1) or 5", s)
}
