package access

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/cmd/outcry/outcrytest"
)

func TestTokenIsWhatInspectTells(t *testing.T) {
	outcrytest.NewSecret(t)
	token := outcrytest.MintToken(t, "--user", "alice", "--rooms", "lobby,traders", "--ttl", "2d", "--claim", "level=3",
		"--claim", "site=berlin", "--claim", `tags=["a","b"]`, "--kid", "k1")
	status, text, stderr := outcrytest.Call(t, token+"\n", "token", "inspect", "-")
	if status != 0 || stderr != "" {
		t.Errorf("status %d, error %q", status, stderr)
	}
	for _, want := range []string{
		`"alg":"HS256"`, `"kid":"k1"`, `"sub":"alice"`, `"rooms":["lobby","traders"]`, `"level":3`, `"site":"berlin"`,
		`"tags":["a","b"]`, "Z (in ", "accepted   yes: the signature is valid",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
}

func TestMomentsInWords(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for after, want := range map[time.Duration]string{
		0: "in 0s", 90 * time.Second: "in 1m", 49 * time.Hour: "in 2 days", -3 * time.Hour: "3h ago", -100 * time.Millisecond: "in 0s",
	} {
		if got := when(now.Add(after), now); got != want {
			t.Errorf("%v: %q, want %q", after, got, want)
		}
	}
}

func TestTokensThatAreNotAccepted(t *testing.T) {
	outcrytest.NewSecret(t)
	valid := outcrytest.MintToken(t, "--user", "alice")
	signature := strings.LastIndex(valid, ".") + 1
	for _, tt := range []struct {
		name, token string
		args        []string
		want        string
	}{
		{"forged", valid[:signature] + strings.Repeat("A", len(valid)-signature), nil, "accepted   no: token's signature"},
		{"for ever", outcrytest.MintToken(t, "--user", "bob", "--ttl", "none"), nil, "accepted   no: token has no expiry"},
		{"another issuer", valid, []string{"--set", "auth.jwt.issuer=https://a.example"}, "accepted   no: token"},
		{"no secret here", valid, []string{"--set", "data=elsewhere"}, "accepted   no: unknown, because its keys are not available here"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, text, _ := outcrytest.Call(t, "", append([]string{"token", "inspect", tt.token}, tt.args...)...)
			if status != 1 || !strings.Contains(text, tt.want) {
				t.Errorf("status %d, want 1 and %q in\n%s", status, tt.want, text)
			}
		})
	}
}

func TestInspectTakesWhatIsNoToken(t *testing.T) {
	outcrytest.NewSecret(t)
	status, _, stderr := outcrytest.Call(t, "", "token", "inspect", "secret-word")
	if status != 1 || stderr == "" || strings.Contains(stderr, "secret-word") {
		t.Errorf("status %d, error %q", status, stderr)
	}
}

func TestTokenFollowsTheConfiguration(t *testing.T) {
	outcrytest.NewSecret(t)
	text := "auth: {jwt: {issuer: 'https://us.example', audience: [outcry], user_claim: name}}\n"
	if err := os.WriteFile("config.yaml", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	token := outcrytest.MintToken(t, "--user", "alice")
	status, told, _ := outcrytest.Call(t, "", "token", "inspect", token)
	if status != 0 || !strings.Contains(told, `"iss":"https://us.example"`) || !strings.Contains(told, `"name":"alice"`) {
		t.Errorf("status %d\n%s", status, told)
	}
}

func TestTokenNeedsASecret(t *testing.T) {
	t.Chdir(t.TempDir())
	status, stdout, stderr := outcrytest.Call(t, "", "token", "--user", "alice")
	if status != 1 || stdout != "" || !strings.Contains(stderr, "data/secret") || !strings.Contains(stderr, "--secret-file") {
		t.Errorf("status %d, output %q, error %q", status, stdout, stderr)
	}
	if err := os.WriteFile("loose", []byte(strings.Repeat("x", 40)), 0o644); err != nil {
		t.Fatal(err)
	}
	if status, _, stderr = outcrytest.Call(t, "", "token", "--user", "alice", "--secret-file", "loose"); status != 1 || !strings.Contains(stderr, "chmod 600 loose") {
		t.Errorf("a secret that all can read: status %d, error %q", status, stderr)
	}
}

func TestTokenFlagsThatAreWrong(t *testing.T) {
	outcrytest.NewSecret(t)
	for _, args := range [][]string{
		{"--user", "a", "--ttl", "0s"}, {"--user", "a", "--ttl", "soon"}, {"--user", "a", "--claim", "x"}, {"--user", "a", "--alg", "none"},
		{"--user", "a", "--alg", "RS256"},
	} {
		if status, stdout, stderr := outcrytest.Call(t, "", append([]string{"token"}, args...)...); status != 1 || stdout != "" || stderr == "" {
			t.Errorf("%q: status %d, output %q, error %q", args, status, stdout, stderr)
		}
	}
}
