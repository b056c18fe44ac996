package server

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/cmd/outcry/outcrytest"
)

func TestCheckTellsEverythingWithItsPlace(t *testing.T) {
	broken, err := filepath.Abs(filepath.Join("testdata", "broken.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(broken)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(strings.TrimSuffix(broken, "yaml") + "golden")
	if err != nil {
		t.Fatal(err)
	}
	outcrytest.InFolder(t, map[string]string{"config.yaml": string(text)})
	status, stdout, stderr := outcrytest.Call(t, "", "check", "config.yaml")
	if status != 1 || stdout != "" {
		t.Errorf("status %d, output %q", status, stdout)
	}
	if stderr != string(want) {
		t.Errorf("got\n%s\nwant\n%s", stderr, want)
	}
}

func TestCheckReadsTheFilesThatAreNamed(t *testing.T) {
	outcrytest.InFolder(t, map[string]string{
		"config.yaml": "auth:\n" +
			"  password_file: users\n" +
			"  jwt:\n" +
			"    keys:\n" +
			"      - {file: issuer.pem, alg: RS256}\n" +
			"      - {file: missing.pem}\n" +
			"listeners:\n" +
			"  ws:\n" +
			"    origins:\n" +
			"      - self\n" +
			"      - example.com\n" +
			"  tls: {address: ':8883', certificate: {file: issuer.pem, key: issuer.pem}}\n" +
			"http: {token_file: issuer.pem}\n",
		"issuer.pem": "not PEM",
		"users":      "alice:plain\n",
	})
	status, _, stderr := outcrytest.Call(t, "", "check")
	if status != 1 {
		t.Errorf("status %d", status)
	}
	var places []string
	for line := range strings.Lines(stderr) {
		place := strings.SplitN(line, ": ", 3)
		places = append(places, strings.Join(place[:2], ": "))
	}
	want := []string{
		"config.yaml:2:18: auth.password_file",
		"config.yaml:5:9: auth.jwt.keys[0]",
		"config.yaml:6:9: auth.jwt.keys[1]",
		"config.yaml:11:9: listeners.ws.origins[1]",
		"config.yaml:12:40: listeners.tls.certificate",
		"config.yaml:13:20: http.token_file",
	}
	if !slices.Equal(places, want) {
		t.Errorf("got\n%s\nwant problems at %q", stderr, want)
	}
	if strings.Contains(stderr, "plain") {
		t.Errorf("a line of the password file is shown:\n%s", stderr)
	}
}

func TestCheckOfWhatIsRight(t *testing.T) {
	shipped, err := os.ReadFile(filepath.Join("..", "..", "..", "config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	outcrytest.InFolder(t, map[string]string{"config.yaml": string(shipped), "open.yaml": "listeners: {tcp: {address: ':1883'}}\n"})
	summary := "  tcp   127.0.0.1:1883\n  ws    127.0.0.1:8083\n  http  127.0.0.1:9090\n  data  ./data\n  2 rules, 4 rooms\n"
	status, stdout, stderr := outcrytest.Call(t, "", "check", "config.yaml")
	if status != 0 || stderr != "" || stdout != "config.yaml: ok\n"+summary {
		t.Errorf("status %d, error %q, output\n%s", status, stderr, stdout)
	}
	if _, err := os.Stat("data"); err == nil {
		t.Error("check made the data folder")
	}
	if status, stdout, _ = outcrytest.Call(t, "", "check", "--no-config"); status != 0 || stdout != "the defaults: ok\n"+summary {
		t.Errorf("status %d, output\n%s", status, stdout)
	}
	status, stdout, _ = outcrytest.Call(t, "", "check", "open.yaml")
	if status != 0 || !strings.HasPrefix(stdout, "warning: open.yaml:1:28: listeners.tcp.address: ") || !strings.Contains(stdout, "\nopen.yaml: ok\n") {
		t.Errorf("status %d, output\n%s", status, stdout)
	}
}

// check and serve refuse damaged, empty and wrongly encoded files for the same reason.
func TestCheckAndServeRefuseDegenerateFiles(t *testing.T) {
	const mark = "\xef\xbb\xbf"
	secret := strings.Repeat("\x00", 64)
	user := "ann:$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$" + strings.Repeat("A", 43)
	for _, tt := range []struct{ name, key, value, text, want string }{
		{"secret of zeros", "auth.jwt.secret_file", "file", secret, "repeats itself"},
		{"empty secret", "auth.jwt.secret_file", "file", "", "has 0 bytes"},
		{"secret with a mark", "auth.jwt.secret_file", "file", mark + "a secret of tests, of more than 32 bytes", "byte order mark"},
		{"secret of two lines", "auth.jwt.secret_file", "file", "a secret of tests, of more than 32 bytes\nx", "several lines"},
		{"secret that is made", "data", ".", secret, "repeats itself"}, // the file secret in the data folder
		{"empty key", "auth.jwt.keys", "[{file: file}]", "", "is empty"},
		{"key of zeros", "auth.jwt.keys", "[{file: file}]", secret, "null characters"},
		{"key with a mark", "auth.jwt.keys", "[{file: file}]", mark + "-----BEGIN PUBLIC KEY-----\n", "byte order mark"},
		{"encrypted key", "auth.jwt.keys", "[{file: file}]", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n", "is encrypted"},
		{"key set with a mark", "auth.jwt.issuers", "[{issuer: a, audience: [b], jwks_file: file}]", mark + `{"keys":[]}`, "byte order mark"},
		{"empty key set", "auth.jwt.issuers", "[{issuer: a, audience: [b], jwks_file: file}]", "", "is not a key set"},
		{"users with a mark", "auth.password_file", "file", mark + user, "byte order mark"},
		{"users in UTF-16", "auth.password_file", "file", "\xff\xfe" + strings.Join(strings.Split(user, ""), "\x00") + "\x00", "UTF-16"},
		{"users and zeros", "auth.password_file", "file", user + "\n\x00\x00", "null characters"},
		{"denied with a mark", "auth.deny_file", "file", mark + "user ann", "byte order mark"},
		{"operator's token with a mark", "http.token_file", "file", mark + strings.Repeat("0123456789abcdef", 4), "must hold one line"},
		{"operator's token of one letter", "http.token_file", "file", strings.Repeat("0", 64), "can be guessed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			folder := t.TempDir()
			t.Chdir(folder)
			name := "file"
			if tt.key == "data" {
				name = "secret"
			}
			if err := os.WriteFile(filepath.Join(folder, name), []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			args := []string{"--no-config", "--set", tt.key + "=" + tt.value}
			for _, listener := range []string{"listeners.tcp", "listeners.ws", "http"} {
				args = append(args, "--set", listener+".address=127.0.0.1:0")
			}
			status, _, checked := outcrytest.Call(t, "", append([]string{"check"}, args...)...)
			if status != 1 || !strings.Contains(checked, tt.want) {
				t.Fatalf("check: status %d, %q, want %q", status, checked, tt.want)
			}
			status, _, served := outcrytest.Call(t, "", append([]string{"serve"}, args...)...)
			if status != 1 || !strings.Contains(served, tt.want) {
				t.Errorf("serve: status %d, %q, want %q", status, served, checked)
			}
		})
	}
}

// A password file without users causes a warning and no error: its last user may have been deleted.
func TestEmptyPasswordFileIsWarnedOf(t *testing.T) {
	outcrytest.InFolder(t, map[string]string{"users": "# nobody yet\n", "config.yaml": "auth: {password_file: users}\n"})
	status, stdout, stderr := outcrytest.Call(t, "", "check")
	if status != 0 || !strings.Contains(stdout, "auth.password_file") || !strings.Contains(stdout, "has no user") {
		t.Errorf("status %d, %q, %q", status, stdout, stderr)
	}
	p := outcrytest.StartServe(t, ".")
	p.WaitFor(p.Stderr, 0, "auth.password_file", "has no user")
}
