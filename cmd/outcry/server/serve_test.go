package server

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/cmd/outcry/outcrytest"
)

func TestServeTellsWhatAPersonNeedsNext(t *testing.T) {
	dir := t.TempDir()
	p := outcrytest.StartServe(t, dir, "--demo")
	for _, want := range []string{
		`  page     http://` + p.Addresses["ws"] + `/#token=eyJ`,
		`  metrics  http://` + p.Addresses["http"] + "/metrics\n",
		`  mqtt     ws://` + p.Addresses["ws"] + "/mqtt\n",
		`-u guest -P "$(cat data/guest.jwt)" -t 'ticker/#'`,
	} {
		if !strings.Contains(p.Stdout.String(), want) {
			t.Errorf("no %q in\n%s", want, p.Stdout)
		}
	}
	if strings.Contains(p.Stdout.String(), "\x1b") {
		t.Error("colours, but not on a terminal")
	}
	if strings.Contains(p.Stderr.String(), "eyJ") {
		t.Errorf("a token in the log:\n%s", p.Stderr)
	}
	for path, want := range map[string]os.FileMode{"data": 0o700, "data/secret": 0o600, "data/guest.jwt": 0o600, "data/outcry.db": 0o600} {
		if mode := outcrytest.ModeOf(t, filepath.Join(dir, path)); mode != want {
			t.Errorf("mode of %s is %v, want %v", path, mode, want)
		}
	}
	p.Stop()
}

var price = regexp.MustCompile(`(?m)^ticker/[A-Z]+ \{"p":[\d.]+,"t":\d+\}$`)

// The banner's lines work when pasted into a shell.
func TestLinesOfTheBannerWork(t *testing.T) {
	if _, err := exec.LookPath("mosquitto_sub"); err != nil {
		t.Skip("mosquitto_sub is not installed")
	}
	p := outcrytest.StartServe(t, t.TempDir(), "--demo")
	shell := func(line string) string {
		cmd := exec.CommandContext(t.Context(), "bash", "-c", line)
		cmd.Dir = p.Cmd.Dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", line, err, out)
		}
		return string(out)
	}
	if prices := shell(item(p, "listen") + " -C 5 -W 30"); !price.MatchString(prices) {
		t.Errorf("heard %q", prices)
	}
	heard := make(chan string, 1)
	go func() {
		heard <- shell(strings.Replace(item(p, "listen"), "ticker/#", "chat/lobby/#", 1) + " -C 1 -W 30")
	}()
	for {
		shell(item(p, "speak"))
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

// item returns the banner's line with a name.
func item(p *outcrytest.Process, name string) string {
	line := p.WaitFor(p.Stdout, 0, "  "+name+" ")
	return strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), name))
}

func TestServeAsAServiceShowsNoToken(t *testing.T) {
	p := outcrytest.StartServe(t, t.TempDir())
	if text := p.Stdout.String(); strings.Contains(text, "eyJ") || !strings.Contains(text, "outcry token --user NAME") {
		t.Errorf("banner\n%s", text)
	}
	if mode := outcrytest.ModeOf(t, filepath.Join(p.Cmd.Dir, "data", "guest.jwt")); mode != 0 {
		t.Error("there is a guest's token")
	}
}

// A folder that cannot be replaced simulates a full disk.
func TestServeWithoutTheGuestsToken(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "data", "guest.jwt", "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	p := outcrytest.StartServe(t, dir, "--open")
	p.WaitFor(p.Stderr, 0, "cannot write the guest's token")
}

func TestServeRefuses(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	address := taken.Addr().String()
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	_, port, _ := net.SplitHostPort(other.Addr().String())
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
			"--tcp: listeners.tcp.address: --open would allow everything to every client that can reach 0.0.0.0:0; use 127.0.0.1, or give --open twice\n"},
		{"metrics for the network", "http: {address: ':0'}\n", []string{"--tcp", "127.0.0.1:0", "--ws", "127.0.0.1:0"}, "" +
			"config.yaml:1:17: http.address: metrics and profiles would be open to other machines without a token; use 127.0.0.1:0 in http.address or set http.token_file\n"},
		{"a broken configuration", "log: {level: loud}\ndata: []\n", free, "" +
			"config.yaml:1:14: log.level: \"loud\" is not one of its values; write debug, info, warn or error\n" +
			"config.yaml:2:7: data: is a list, but must be a single value; write a text\n"},
		{"a missing file", "", append(free, "--config", "none.yaml"), "" +
			"none.yaml: cannot be read: no such file or directory; give another file with --config, or omit it for the defaults\n"},
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
			p := outcrytest.Start(t, dir, append([]string{"serve"}, tt.args...)...)
			if status := p.Wait(); status != 1 {
				t.Errorf("exit status %d", status)
			}
			if text := withoutLog(p.Stderr.String()); text != tt.want || p.Stdout.String() != "" {
				t.Errorf("got\n%s\nwant\n%s\noutput\n%s", text, tt.want, p.Stdout)
			}
		})
	}
}

// withoutLog returns all lines but those of the log.
func withoutLog(text string) (rest string) {
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "time=") {
			rest += line
		}
	}
	return rest
}

func TestDataFolderThatIsInUse(t *testing.T) {
	p := outcrytest.StartServe(t, t.TempDir())
	second := outcrytest.Start(t, p.Cmd.Dir, "serve", "--tcp", "127.0.0.1:0", "--ws", "127.0.0.1:0", "--http", "127.0.0.1:0")
	if status := second.Wait(); status != 1 || !strings.Contains(second.Stderr.String(), "in use by another process") {
		t.Errorf("exit status %d\n%s", status, second.Stderr)
	}
}

func TestOpenLetsAnybodyDoEverything(t *testing.T) {
	p := outcrytest.StartServe(t, t.TempDir(), "--open", "--open", "--tcp", "0.0.0.0:0", "--demo")
	if !strings.Contains(p.Stdout.String(), "every client may do everything") {
		t.Errorf("banner\n%s", p.Stdout)
	}
	_, port, _ := net.SplitHostPort(p.Addresses["tcp"])
	p.Addresses["tcp"] = net.JoinHostPort("127.0.0.1", port)
	if status, _, stderr := p.Client("pub", "", "-t", "any/topic", "-m", "x", "-q", "1", "-r"); status != 0 {
		t.Errorf("pub: status %d: %s", status, stderr)
	}
	if status, got, stderr := p.Client("sub", "", "-t", "#", "-T", "ticker/#", "-T", "machine/#", "-C", "1", "-W", "30"); status != 0 || got != "x\n" {
		t.Errorf("sub: status %d, got %q: %s", status, got, stderr)
	}
	if status, _, stderr := p.Client("sub", "", "-t", "ticker/ACME", "-C", "1", "-W", "30"); status != 0 {
		t.Errorf("the demo is not there: status %d: %s", status, stderr)
	}
}

func TestRetainedMessagesOutliveARestart(t *testing.T) {
	dir := t.TempDir()
	p := outcrytest.StartServe(t, dir)
	alice := p.Token("--user", "alice", "--rooms", "lobby")
	if status, _, stderr := p.Client("pub", alice, "-t", "chat/lobby/here/a", "-m", "later", "-r", "-q", "1"); status != 0 {
		t.Fatalf("pub: status %d: %s", status, stderr)
	}
	p.Stop()
	p = outcrytest.StartServe(t, dir)
	if status, got, stderr := p.Client("sub", alice, "-t", "chat/lobby/#", "-C", "1", "-W", "30"); status != 0 || got != "later\n" {
		t.Errorf("sub: status %d, got %q: %s", status, got, stderr)
	}
}

// TestTermStopsInGoodOrder stops up to three brokers until one did so without a warning: the steps have time limits
// of less than a second, which a busy machine may exceed; a hanging step exceeds them each time.
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

// termLog returns the log of a broker stopped by SIGTERM.
func termLog(t *testing.T) string {
	t.Helper()
	p := outcrytest.StartServe(t, t.TempDir(), "--demo")
	if got := outcrytest.Fetch(t, p.Addresses["http"], "/readyz"); got != "ready\n" {
		t.Errorf("/readyz says %q", got)
	}
	p.Stop()
	log := p.Stderr.String()
	if !strings.Contains(log, "msg=stopped") || strings.Contains(log, "level=ERROR") {
		t.Errorf("log\n%s", log)
	}
	return log
}

// The banner's subscription matches messages of the demo or of the banner's other example.
func TestBannerAdvisesWhatSaysSomething(t *testing.T) {
	for _, flags := range [][]string{{"--open"}, {"--open", "--demo"}, {"--demo"}} {
		p := outcrytest.StartServe(t, t.TempDir(), flags...)
		want := "'chat/lobby/#'"
		if slices.Contains(flags, "--demo") {
			want = "'ticker/#'"
		}
		if line := item(p, "listen"); !strings.Contains(line, "-t "+want+" -v") {
			t.Errorf("%v: %s", flags, line)
		}
		p.Stop()
	}
}
