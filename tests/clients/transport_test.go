package clients_test

import (
	"context"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/eclipse/paho.golang/autopaho"
	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// openEverywhere starts a broker with a listener for every transport.
func openEverywhere(t *testing.T) (s *server, urls map[string]string, cert certificate) {
	t.Helper()
	cert = newCertificate(t)
	socket := filepath.Join(t.TempDir(), "mqtt.sock")
	var args []string
	for _, set := range []string{
		"tls.address=127.0.0.1:0", "tls.certificate.file=" + cert.cert, "tls.certificate.key=" + cert.key,
		"wss.address=127.0.0.1:0", "wss.certificate.file=" + cert.cert, "wss.certificate.key=" + cert.key,
		"unix.address=" + socket,
	} {
		args = append(args, "--set", "listeners."+set)
	}
	s = openBroker(t, args...)
	return s, map[string]string{
		"tcp":  "tcp://" + s.addrs["tcp"],
		"tls":  "ssl://" + s.addrs["tls"],
		"ws":   "ws://" + s.addrs["ws"] + "/mqtt",
		"wss":  "wss://" + s.addrs["wss"] + "/mqtt",
		"unix": "unix://" + socket,
	}, cert
}

func TestTransports(t *testing.T) {
	_, urls, cert := openEverywhere(t)
	overUnix := func(c *autopaho.ClientConfig) {
		c.AttemptConnection = func(ctx context.Context, _ autopaho.ClientConfig, u *url.URL) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", u.Path)
		}
	}
	for name, broker := range urls {
		t.Run(name, func(t *testing.T) {
			set := withTLS(cert.trust)
			if name == "unix" {
				set = overUnix
			}
			five := connect5(t, broker, set)
			three := connect3(t, broker, withTLS3(cert.trust))
			five.subscribe(2, "five/"+name)
			three.subscribe("three/"+name, 2)
			large := strings.Repeat("0123456789", 20_000)
			for _, text := range []string{"hello", "", large} {
				five.send("three/"+name, text, 2)
				if m := three.receive(); string(m.Payload()) != text {
					t.Errorf("3.1.1 got %d bytes, want %d", len(m.Payload()), len(text))
				}
				three.send("five/"+name, text, 2, false)
				if m := five.receive(); string(m.Payload) != text {
					t.Errorf("5 got %d bytes, want %d", len(m.Payload), len(text))
				}
			}
		})
	}
}

func TestTransportsOfTheClientCommands(t *testing.T) {
	_, urls, cert := openEverywhere(t)
	for name, broker := range urls {
		for _, version := range []string{"4", "5"} {
			t.Run(name+" "+version, func(t *testing.T) {
				at := []string{"--url", broker, "-V", version, "-t", "cli/" + name + "/" + version, "-q", "1"}
				if strings.HasSuffix(name, "s") && name != "ws" {
					at = append(at, "--cafile", cert.cert)
				}
				mustRun(t, outcry, append([]string{"pub", "-m", "kept", "-r"}, at...)...)
				if got := mustRun(t, outcry, append([]string{"sub", "-C", "1", "-W", "50"}, at...)...); got != "kept\n" {
					t.Errorf("got %q", got)
				}
			})
		}
	}
}

func TestTLSIsChecked(t *testing.T) {
	s, urls, _ := openEverywhere(t)
	other := newCertificate(t)
	r := run(t, outcry, "pub", "--url", urls["tls"], "--cafile", other.cert, "-t", "a", "-m", "x")
	if r.status != 1 || !strings.Contains(r.errors, "certificate") {
		t.Errorf("exit status %d, %q; want an error about the certificate", r.status, r.errors)
	}
	mustRun(t, outcry, "pub", "--url", urls["tls"], "--insecure", "-t", "a", "-m", "x")

	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + s.addrs["tls"]).SetClientID("plain"))
	if tok := c.Connect(); !tok.WaitTimeout(waitLimit) || tok.Error() == nil {
		t.Error("a client without TLS connected to the TLS listener")
	}
}

func TestMosquittoTLS(t *testing.T) {
	needProgram(t, "mosquitto_pub")
	s, _, cert := openEverywhere(t)
	host, port, err := net.SplitHostPort(s.addrs["tls"])
	if err != nil {
		t.Fatal(err)
	}
	sub := listen(t, s, "%p", "-t", "tls", "-q", "1")
	mustRun(t, "mosquitto_pub", "-h", host, "-p", port, "--cafile", cert.cert, "-t", "tls", "-m", "secret", "-q", "1")
	if got := sub.line("MSG "); got != "secret" {
		t.Errorf("got %q", got)
	}
}
