package clients_test

import (
	"net"
	"slices"
	"strings"
	"testing"
)

// serveCertificates starts a broker that identifies clients by their certificates. pump-7 may publish, and everybody
// with a certificate of the unit "pumps" may subscribe.
func serveCertificates(t *testing.T, ask string, more ...string) (s *server, cert certificate) {
	t.Helper()
	cert = newCertificate(t)
	args := more
	for _, set := range []string{
		"listeners.tls.address=127.0.0.1:0",
		"listeners.tls.certificate.file=" + cert.cert, "listeners.tls.certificate.key=" + cert.key,
		"listeners.tls.certificate.client_ca=" + cert.cert, "listeners.tls.certificate.clients=" + ask,
		"auth.client_certificate=cn",
		"rules=[{access: allow, who: ['user:pump-7', 'user:ann'], topics: ['pumps/{user}'], actions: [publish]}," +
			" {access: allow, who: ['claim:ou=pumps'], topics: ['pumps/#'], actions: [subscribe]}]",
	} {
		args = append(args, "--set", set)
	}
	return serve(t, args...), cert
}

// tlsArgs returns the arguments for mosquitto's clients on a TLS listener.
func tlsArgs(t *testing.T, s *server, ca string, more ...string) []string {
	t.Helper()
	host, port, err := net.SplitHostPort(s.addrs["tls"])
	if err != nil {
		t.Fatal(err)
	}
	return slices.Concat([]string{"-h", host, "-p", port, "--cafile", ca}, more)
}

func TestMosquittoClientCertificate(t *testing.T) {
	needProgram(t, "mosquitto_pub")
	s, cert := serveCertificates(t, "request")
	ann := s.token("--user", "ann")
	pump, pumpKey := cert.issue(t, "pump-7")
	strange, strangeKey := newCertificate(t).issue(t, "pump-7")
	for _, test := range []struct {
		name   string
		args   []string
		status int // 0: its message is accepted, perhaps with a warning
		warned bool
	}{
		{"its own topic", []string{"--cert", pump, "--key", pumpKey, "-t", "pumps/pump-7"}, 0, false},
		{"its own user name", []string{"--cert", pump, "--key", pumpKey, "-u", "pump-7", "-t", "pumps/pump-7"}, 0, false},
		{"another user name", []string{"--cert", pump, "--key", pumpKey, "-u", "ann", "-t", "pumps/ann"}, 134, false},
		{"another's topic", []string{"--cert", pump, "--key", pumpKey, "-t", "pumps/ann"}, 0, true},
		{"a token beside it", []string{"--cert", pump, "--key", pumpKey, "-u", "ann", "-P", ann, "-t", "pumps/ann"}, 0, false},
		{"a wrong password beside it", []string{"--cert", pump, "--key", pumpKey, "-u", "pump-7", "-P", "x", "-t", "pumps/pump-7"}, 135, false},
		{"only a token", []string{"-u", "ann", "-P", ann, "-t", "pumps/ann"}, 0, false},
		{"nothing", []string{"-t", "pumps/pump-7"}, 135, false},
		{"one that nobody vouches for", []string{"--cert", strange, "--key", strangeKey, "-t", "pumps/pump-7"}, -1, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			args := tlsArgs(t, s, cert.cert, append([]string{"-V", "mqttv5", "-q", "1", "-m", "x"}, test.args...)...)
			r := run(t, "mosquitto_pub", args...)
			if r.status != test.status && (test.status >= 0 || r.status == 0) {
				t.Errorf("exit status %d, want %d: %s", r.status, test.status, r.errors)
			}
			if warned := strings.Contains(r.errors, "Not authorized") && r.status == 0; warned != test.warned {
				t.Errorf("it wrote %q", r.errors)
			}
		})
	}
}

// The program's own client uses a certificate, too, and rules may refer to its fields.
func TestClientCertificateOfTheClientCommands(t *testing.T) {
	s, cert := serveCertificates(t, "require")
	pump, key := cert.issue(t, "pump-7")
	at := []string{"--url", "mqtts://" + s.addrs["tls"], "--cafile", cert.cert, "-V", "5", "-t", "pumps/pump-7", "-q", "1"}
	with := append(slices.Clone(at), "--cert", pump, "--key", key)
	sub := start(t, outcry, append([]string{"sub", "-C", "1", "-W", "50", "-v"}, with...)...)
	eventually(t, "the subscription is there", func() bool { return s.metric("outcry_broker_subscriptions") == 1 })
	mustRun(t, outcry, append([]string{"pub", "-m", "42"}, with...)...)
	if got := sub.line("pumps/"); got != "pump-7 42" {
		t.Errorf("got %q", got)
	}
	if r := run(t, outcry, append([]string{"pub", "-m", "42"}, at...)...); r.status == 0 {
		t.Error("a client without a certificate got in")
	}
}
