package main

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

	"github.com/golang-jwt/jwt/v5"
	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/devices"
)

// clientOptions are what a connection is made with.
type clientOptions struct {
	url         *url.URL
	tls         *tls.Config
	version     byte // 3, 4 or 5
	id          string
	user        string
	password    []byte
	keepAlive   time.Duration
	keepSession bool
	will        *broker.Message
	willDelay   time.Duration
}

// options reads and checks the flags.
func (f *clientFlags) options() (*clientOptions, error) {
	o := &clientOptions{id: cmp.Or(f.id, randomID()), keepAlive: f.keepAlive}
	var err error
	if o.version, err = parseVersion(f.version); err != nil {
		return nil, err
	}
	if o.tls, err = f.tls.config(); err != nil {
		return nil, err
	}
	if o.url, err = f.brokerURL(o.tls != nil); err != nil {
		return nil, err
	}
	if o.keepAlive < 0 || o.keepAlive > 65535*time.Second {
		return nil, fmt.Errorf("--keepalive %v: want at most 65535s", f.keepAlive)
	}
	if o.user, o.password, err = f.credentials(o.url.User); err != nil {
		return nil, err
	}
	return o, f.will.apply(o)
}

func (f *clientFlags) brokerURL(secure bool) (*url.URL, error) {
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

// credentials are those of the flags, the file, the environment or the URL, whichever is there first.
func (f *clientFlags) credentials(inURL *url.Userinfo) (user string, password []byte, err error) {
	secret, err := readToken(f.password, f.tokenFile)
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
	return cmp.Or(user, tokenClaims(secret).Subject, "token"), []byte(secret), nil
}

// readToken is the token given, or what the file or else the environment holds.
func readToken(given, file string) (string, error) {
	switch {
	case given != "" && file != "":
		return "", errors.New("a token and --token-file were both given; use one")
	case given != "":
		return given, nil
	case file != "":
		b, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("--token-file: %w", err)
		}
		return strings.TrimSpace(string(b)), nil
	default:
		return os.Getenv(tokenEnv), nil
	}
}

// tokenClaims are what a JWT says of itself, unchecked; nothing if it is no JWT.
func tokenClaims(token string) jwt.RegisteredClaims {
	var c jwt.RegisteredClaims
	if _, _, err := jwt.NewParser().ParseUnverified(token, &c); err != nil {
		return jwt.RegisteredClaims{}
	}
	return c
}

func (f *tlsFlags) config() (*tls.Config, error) {
	if *f == (tlsFlags{}) {
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

func (f *willFlags) apply(o *clientOptions) error {
	if f.topic == "" {
		if *f != (willFlags{}) {
			return errors.New("a will needs --will-topic")
		}
		return nil
	}
	if err := checkQoS("--will-qos", f.qos); err != nil {
		return err
	}
	o.will = &broker.Message{Topic: f.topic, Payload: []byte(f.payload), QoS: byte(f.qos), Retain: f.retain}
	o.willDelay = f.delay
	return nil
}

func checkQoS(flag string, qos int) error {
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
