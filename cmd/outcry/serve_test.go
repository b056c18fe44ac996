package main

import (
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestServeTellsWhatAPersonNeedsNext(t *testing.T) {
	dir := t.TempDir()
	p := startServe(t, dir, "--demo")
	for _, want := range []string{
		`  page     http://` + p.addresses["ws"] + `/#token=eyJ`,
		`  metrics  http://` + p.addresses["http"] + "/metrics\n",
		`  mqtt     ws://` + p.addresses["ws"] + "/mqtt\n",
		`-u guest -P "$(cat data/guest.jwt)" -t 'ticker/#'`,
	} {
		if !strings.Contains(p.stdout.String(), want) {
			t.Errorf("no %q in\n%s", want, p.stdout)
		}
	}
	if strings.Contains(p.stdout.String(), "\x1b") {
		t.Error("colours, but not on a terminal")
	}
	if strings.Contains(p.stderr.String(), "eyJ") {
		t.Errorf("a token in the log:\n%s", p.stderr)
	}
	for path, want := range map[string]os.FileMode{"data": 0o700, "data/secret": 0o600, "data/guest.jwt": 0o600, "data/outcry.db": 0o600} {
		if mode := modeOf(t, filepath.Join(dir, path)); mode != want {
			t.Errorf("mode of %s is %v, want %v", path, mode, want)
		}
	}
	p.stop()
}

var price = regexp.MustCompile(`(?m)^ticker/[A-Z]+ \{"p":[\d.]+,"t":\d+\}$`)

// The lines of the banner are pasted into a shell.
func TestLinesOfTheBannerWork(t *testing.T) {
	if _, err := exec.LookPath("mosquitto_sub"); err != nil {
		t.Skip("mosquitto_sub is not installed")
	}
	p := startServe(t, t.TempDir(), "--demo")
	shell := func(line string) string {
		cmd := exec.CommandContext(t.Context(), "bash", "-c", line)
		cmd.Dir = p.cmd.Dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", line, err, out)
		}
		return string(out)
	}
	if prices := shell(p.item("listen") + " -C 5 -W 30"); !price.MatchString(prices) {
		t.Errorf("heard %q", prices)
	}
	heard := make(chan string, 1)
	go func() {
		heard <- shell(strings.Replace(p.item("listen"), "ticker/#", "chat/lobby/#", 1) + " -C 1 -W 30")
	}()
	for {
		shell(p.item("speak"))
		select {
		case text := <-heard:
			if !strings.Contains(text, `"from":"guest","text":"hello","at":`) {
				t.Errorf("heard %q", text)
			}
			return
		default: // it may not have subscribed yet
		}
	}
}

// item is the banner's line with a name.
func (p *process) item(name string) string {
	line := p.waitFor(p.stdout, 0, "  "+name+" ")
	return strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), name))
}

func TestServeAsAServiceShowsNoToken(t *testing.T) {
	p := startServe(t, t.TempDir())
	if text := p.stdout.String(); strings.Contains(text, "eyJ") || !strings.Contains(text, "outcry token --user NAME") {
		t.Errorf("banner\n%s", text)
	}
	if mode := modeOf(t, filepath.Join(p.cmd.Dir, "data", "guest.jwt")); mode != 0 {
		t.Error("there is a guest's token")
	}
}

// A folder that cannot be replaced stands in for a disk that is full.
func TestServeWithoutTheGuestsToken(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "data", "guest.jwt", "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	p := startServe(t, dir, "--open")
	p.waitFor(p.stderr, 0, "the guest's token cannot be written")
}

func TestServeRefuses(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	address := taken.Addr().String()
	_, port, _ := net.SplitHostPort(address)
	free := []string{"--tcp", "127.0.0.1:0", "--ws", "127.0.0.1:0", "--http", "127.0.0.1:0"}
	for _, tt := range []struct {
		name, config string
		args         []string
		want         string
	}{
		{"two busy ports", "http:\n  address: " + address + "\n", []string{"--tcp", "localhost:" + port, "--ws", "127.0.0.1:0"}, "" +
			"outcry: listen localhost:" + port + ": address in use; stop the other process (see ss -ltnp) or change listeners.tcp.address (--tcp)\n" +
			"outcry: listen " + address + ": address in use; stop the other process (see ss -ltnp) or change http.address (config.yaml:2:12)\n"},
		{"open to the network", "", append(free, "--open", "--tcp", "0.0.0.0:0"), "" +
			"--tcp: listeners.tcp.address: --open would let anybody who reaches 0.0.0.0:0 do everything; use 127.0.0.1, or give --open twice if that is meant\n"},
		{"metrics for the network", "http: {address: ':0'}\n", []string{"--tcp", "127.0.0.1:0", "--ws", "127.0.0.1:0"}, "" +
			"outcry: listen :0: metrics and profiles would be open to other machines without a token; use 127.0.0.1:0 in http.address or set http.token_file (config.yaml:1:17)\n"},
		{"a broken configuration", "log: {level: loud}\ndata: []\n", free, "" +
			"config.yaml:1:14: log.level: \"loud\" is not one of its values; write debug, info, warn or error\n" +
			"config.yaml:2:7: data: is a list, but must be a single value; write a text\n"},
		{"a missing file", "", append(free, "--config", "none.yaml"), "" +
			"none.yaml: cannot be read: no such file or directory; give another file with --config, or none for the defaults\n"},
		{"a secret that is not there", "auth: {jwt: {secret_file: none.txt}}\n", free, "" +
			"config.yaml:1:27: auth.jwt.secret_file: secret file none.txt: no such file or directory\n"},
		{"a demo without tokens", "auth: {anonymous: true, jwt: {secret_file: none}}\n", append(free, "--demo"), "" +
			"outcry: --demo: its devices need tokens, and auth.jwt.secret_file is none\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(tt.config), 0o600); err != nil {
				t.Fatal(err)
			}
			p := startProcess(t, dir, append([]string{"serve"}, tt.args...)...)
			if status := p.wait(); status != 1 {
				t.Errorf("exit status %d", status)
			}
			if text := withoutLog(p.stderr.String()); text != tt.want || p.stdout.String() != "" {
				t.Errorf("got\n%s\nwant\n%s\noutput\n%s", text, tt.want, p.stdout)
			}
		})
	}
}

// withoutLog returns the lines that are no log.
func withoutLog(text string) (rest string) {
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "time=") {
			rest += line
		}
	}
	return rest
}

func TestDataFolderThatIsInUse(t *testing.T) {
	p := startServe(t, t.TempDir())
	second := startProcess(t, p.cmd.Dir, "serve", "--tcp", "127.0.0.1:0", "--ws", "127.0.0.1:0", "--http", "127.0.0.1:0")
	if status := second.wait(); status != 1 || !strings.Contains(second.stderr.String(), "in use by another process") {
		t.Errorf("exit status %d\n%s", status, second.stderr)
	}
}

func TestOpenLetsAnybodyDoEverything(t *testing.T) {
	p := startServe(t, t.TempDir(), "--open", "--open", "--tcp", "0.0.0.0:0", "--demo")
	if !strings.Contains(p.stdout.String(), "anybody who can connect may do everything") {
		t.Errorf("banner\n%s", p.stdout)
	}
	_, port, _ := net.SplitHostPort(p.addresses["tcp"])
	p.addresses["tcp"] = net.JoinHostPort("127.0.0.1", port)
	if status, _, stderr := p.client("pub", "", "-t", "any/topic", "-m", "x", "-q", "1", "-r"); status != 0 {
		t.Errorf("pub: status %d: %s", status, stderr)
	}
	if status, got, stderr := p.client("sub", "", "-t", "#", "-T", "ticker/#", "-T", "machine/#", "-C", "1", "-W", "30"); status != 0 || got != "x\n" {
		t.Errorf("sub: status %d, got %q: %s", status, got, stderr)
	}
	if status, _, stderr := p.client("sub", "", "-t", "ticker/ACME", "-C", "1", "-W", "30"); status != 0 {
		t.Errorf("the demo is not there: status %d: %s", status, stderr)
	}
}

func TestRetainedMessagesOutliveARestart(t *testing.T) {
	dir := t.TempDir()
	p := startServe(t, dir)
	alice := p.token("--user", "alice", "--rooms", "lobby")
	if status, _, stderr := p.client("pub", alice, "-t", "chat/lobby/here/a", "-m", "later", "-r", "-q", "1"); status != 0 {
		t.Fatalf("pub: status %d: %s", status, stderr)
	}
	p.stop()
	p = startServe(t, dir)
	if status, got, stderr := p.client("sub", alice, "-t", "chat/lobby/#", "-C", "1", "-W", "30"); status != 0 || got != "later\n" {
		t.Errorf("sub: status %d, got %q: %s", status, got, stderr)
	}
}

// TestTermStopsInGoodOrder stops up to three brokers until one did so without a warning: the steps have time limits of
// less than a second, which a busy machine may exceed, and a step that hangs does so each time.
func TestTermStopsInGoodOrder(t *testing.T) {
	var log string
	for range 3 {
		log = termLog(t)
		if !strings.Contains(log, "level=WARN") {
			return
		}
	}
	t.Errorf("log\n%s", log)
}

// termLog is the log of a broker that was stopped by SIGTERM.
func termLog(t *testing.T) string {
	t.Helper()
	p := startServe(t, t.TempDir(), "--demo")
	if got := fetch(t, p.addresses["http"], "/readyz"); got != "ready\n" {
		t.Errorf("/readyz says %q", got)
	}
	p.stop()
	log := p.stderr.String()
	if !strings.Contains(log, "msg=stopped") || strings.Contains(log, "level=ERROR") {
		t.Errorf("log\n%s", log)
	}
	return log
}

func fetch(t *testing.T, address, path string) string {
	t.Helper()
	response, err := http.Get("http://" + address + path)
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
