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
