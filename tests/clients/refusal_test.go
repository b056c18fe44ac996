package clients_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/golang-jwt/jwt/v5"
)

// mustReport checks an exit status and parts of the errors.
func (r result) mustReport(t *testing.T, status int, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(r.errors, part) {
			t.Errorf("the error does not tell %q:\n%s", part, r.errors)
		}
	}
	if r.status != status {
		t.Errorf("exit status %d, want %d: %s", r.status, status, r.errors)
	}
}

// sign makes a token without the program.
func sign(t *testing.T, secret string, claims jwt.MapClaims) string {
	t.Helper()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// secret returns the broker's signing secret.
func (s *server) secret() string {
	s.t.Helper()
	b, err := os.ReadFile(filepath.Join(s.data, "secret"))
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

func TestRefusedCredentials(t *testing.T) {
	s := serve(t)
	in := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	const stranger = "0123456789012345678901234567890123456789"
	tests := []struct {
		name, token string
		five        string // pub's message with MQTT 5
		three       string // and with 3.1.1
	}{
		{"none", "", "not authorized (0x87)", "not authorized (return code 5)"},
		{"a word", "hunter2", "not authorized (0x87)", "not authorized (return code 5)"},
		{"another's signature", sign(t, stranger, jwt.MapClaims{"sub": "ada", "exp": in(time.Hour)}), "signature", "(return code"},
		{"expired", sign(t, s.secret(), jwt.MapClaims{"sub": "ada", "exp": in(-190 * time.Second)}), "expired 3m", "expired 3m"},
		{"not yet valid", sign(t, s.secret(), jwt.MapClaims{"sub": "ada", "nbf": in(time.Hour), "exp": in(2 * time.Hour)}), "valid", "not valid for another"},
		{"without expiry", sign(t, s.secret(), jwt.MapClaims{"sub": "ada"}), "exp", "(return code"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			args := []string{"pub", "--url", s.url(), "-t", "a", "-m", "x"}
			if tt.token != "" {
				args = append(args, "-P", tt.token)
			}
			run(t, outcry, args...).mustReport(t, 1, "outcry: connection refused by the broker: ", tt.five)
			run(t, outcry, append(args, "-V", "4")...).mustReport(t, 1, "outcry: connection refused by the broker: ", tt.three)
			if strings.Contains(s.errors(), tt.token) && tt.token != "" {
				t.Error("the token is in the broker's log")
			}
		})
	}
	t.Run("a good one", func(t *testing.T) {
		mustRun(t, outcry, "pub", "--url", s.url(), "-t", "chat/lobby/say", "-m", "x", "-q", "1", "-P", s.token("--user", "ada", "--rooms", "lobby"))
	})
}

func TestRefusedCredentialsOfMosquitto(t *testing.T) {
	needProgram(t, "mosquitto_pub")
	s := serve(t)
	for _, version := range versions {
		t.Run(version, func(t *testing.T) {
			r := run(t, "mosquitto_pub", s.brokerArgs("-V", version, "-u", "ada", "-P", "wrong", "-t", "a", "-m", "x")...)
			if r.status == 0 || !strings.Contains(strings.ToLower(r.errors), "not authori") {
				t.Errorf("exit status %d, %q; want that it is not authorized", r.status, r.errors)
			}
		})
	}
}

func TestRefusedCredentialsOfPaho(t *testing.T) {
	s := serve(t)
	c := begin5(t, s.url(), func(c *autopaho.ClientConfig) {
		c.ConnectUsername, c.ConnectPassword = "ada", []byte("a.b.c")
	})
	err := mustReceive(t, "a refusal", c.refusals)
	if refused, ok := err.(*autopaho.ConnackError); !ok || refused.ReasonCode < 0x80 || refused.Reason == "" {
		t.Errorf("error %v, want a CONNACK with a code and a reason", err)
	}
}

const roomsConfig = `
rules:
  - access: deny
    actions: [publish]
    who: ["user:muted"]
    topics: ["#"]
  - access: allow
    actions: [subscribe]
    who: ["*"]
    topics: ["news/#", "inbox/{user}/#"]
rooms:
  - topics: chat/{room}/#
    join: ["claim:rooms"]
    speak: ["claim:rooms"]
`

func TestUnknownRoom(t *testing.T) {
	config := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(config, []byte(roomsConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	s := serve(t, "--config", config)
	ada, muted := s.token("--user", "ada", "--rooms", "lobby"), s.token("--user", "muted", "--rooms", "lobby")
	const no = "refused by the broker: not authorized (0x87)"
	tests := []struct {
		name  string
		token string
		args  []string
		want  string // error; "": none
	}{
		{"join one's room", ada, []string{"sub", "-E", "-t", "chat/lobby/#"}, ""},
		{"join another", ada, []string{"sub", "-E", "-t", "chat/secret/say"}, `subscription to "chat/secret/say" ` + no},
		{"join all", ada, []string{"sub", "-E", "-t", "chat/+/say"}, `subscription to "chat/+/say" ` + no},
		{"join everything", ada, []string{"sub", "-E", "-t", "#"}, `subscription to "#" ` + no},
		{"join by a shared subscription", ada, []string{"sub", "-E", "-t", "$share/g/chat/secret/say"}, no},
		{"one of two", ada, []string{"sub", "-E", "-t", "chat/lobby/#", "-t", "chat/secret/#"}, `subscription to "chat/secret/#" ` + no},
		{"one's inbox", ada, []string{"sub", "-E", "-t", "inbox/ada/#"}, ""},
		{"another's inbox", ada, []string{"sub", "-E", "-t", "inbox/bela/#"}, no},
		{"speak in one's room", ada, []string{"pub", "-q", "1", "-m", "x", "-t", "chat/lobby/say"}, ""},
		{"speak in another", ada, []string{"pub", "-q", "1", "-m", "x", "-t", "chat/secret/say"}, `message to "chat/secret/say" ` + no},
		{"speak with QoS 2", ada, []string{"pub", "-q", "2", "-m", "x", "-t", "chat/secret/say"}, `message to "chat/secret/say" ` + no},
		{"speak with QoS 0", ada, []string{"pub", "-m", "x", "-t", "chat/secret/say"}, `message to "chat/secret/say" ` + no},
		{"speak with QoS 0 in one's room", ada, []string{"pub", "-m", "x", "-t", "chat/lobby/say"}, ""},
		{"speak by 3.1.1", ada, []string{"pub", "-V", "4", "-q", "1", "-m", "x", "-t", "chat/secret/say"}, no},
		{"speak thrice", ada, []string{"pub", "--repeat", "3", "-m", "x", "-t", "chat/secret/say"}, `3 messages refused by the broker, the last to "chat/secret/say": not authorized (0x87)`},
		{"denied first", muted, []string{"pub", "-q", "1", "-m", "x", "-t", "chat/lobby/say"}, no},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := run(t, outcry, append(tt.args, "--url", s.url(), "-P", tt.token)...)
			status := 0
			if tt.want != "" && tt.name != "one of two" {
				status = 1
			}
			r.mustReport(t, status, tt.want)
		})
	}
	t.Run("mosquitto", func(t *testing.T) {
		needProgram(t, "mosquitto_sub")
		r := run(t, "mosquitto_sub", s.brokerArgs("-V", "mqttv5", "-u", "ada", "-P", ada, "-t", "chat/secret/say", "-W", "5")...)
		if !strings.Contains(r.errors+r.out, "denied") {
			t.Errorf("exit status %d, %q%q; want that the subscription was denied", r.status, r.out, r.errors)
		}
	})
}
