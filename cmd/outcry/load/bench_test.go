package load

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/bench"
	"github.com/outcry-mqtt/outcry/cmd/outcry/client"
	"github.com/outcry-mqtt/outcry/cmd/outcry/outcrytest"
)

func TestBench(t *testing.T) {
	p := outcrytest.StartServe(t, t.TempDir(), "--open")
	url := "mqtt://" + p.Addresses["tcp"]
	t.Run("tables", func(t *testing.T) {
		status, stdout, stderr := outcrytest.Call(t, "", "bench", "fanout", "--url", url, "--subscribers", "10", "-d", "200ms", "--warmup", "0", "-q", "1")
		if status != 0 || stderr != "" {
			t.Errorf("status %d, %s", status, stderr)
		}
		for _, want := range []string{"1 publisher, 10 subscribers, 1 topic, QoS 1, 64 bytes", "0 lost, 0 duplicated, 0 reordered", "acknowledgement"} {
			if !strings.Contains(stdout, want) {
				t.Errorf("printed\n%s\nwithout %q", stdout, want)
			}
		}
	})
	t.Run("JSON", func(t *testing.T) {
		ws := "ws://" + p.Addresses["ws"]
		status, stdout, stderr := outcrytest.Call(t, "", "bench", "storm", "--url", ws, "-n", "20", "-V", "4", "-u", "ann", "-P", "secret", "--json")
		var r bench.Report
		if err := json.Unmarshal([]byte(stdout), &r); err != nil || status != 0 || stderr != "" {
			t.Fatalf("status %d, %v: %s%s", status, err, stdout, stderr)
		}
		if r.Scenario != bench.Storm || r.Version != 4 || r.Connections.Opened != 20 || len(r.Rounds) != 1 {
			t.Errorf("report %+v", r)
		}
	})
}

// TestBenchOfTheReadme runs the command of README.md, with fewer subscribers and for less time, against a broker
// started as in README.md.
func TestBenchOfTheReadme(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join("..", "..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^.*bin/outcry bench fanout .*$`).FindString(string(readme))
	p := outcrytest.StartServe(t, t.TempDir(), "--demo")
	for old, new := range map[string]string{
		"bin/outcry": "env " + outcrytest.BeOutcry + "=1 " + "'" + os.Args[0] + "'", "--subscribers 1000": "--subscribers 20", "$(pgrep -nx outcry)": fmt.Sprint(p.Cmd.Process.Pid),
	} {
		if !strings.Contains(line, old) {
			t.Fatalf("%q has no %q", line, old)
		}
		line = strings.ReplaceAll(line, old, new)
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-c", line+" -d 200ms --warmup 0 --url mqtt://"+p.Addresses["tcp"])
	cmd.Dir = p.Cmd.Dir
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), " 0 lost") {
		t.Errorf("%s: %v\n%s", line, err, out)
	}
}

// TestBenchSaysWhatIsMissing runs the bench without credentials against a broker that requires them.
func TestBenchSaysWhatIsMissing(t *testing.T) {
	p := outcrytest.StartServe(t, t.TempDir())
	t.Chdir(p.Cmd.Dir)
	_, token, _ := outcrytest.Call(t, "", "token", "--user", "bench")
	t.Setenv(client.TokenEnv, "")
	for _, version := range []string{"4", "5"} {
		for _, tt := range []struct{ args, want string }{
			{"", "--token-file or in $OUTCRY_TOKEN, such as one of outcry token --user bench; or start the broker with --open"},
			{"-u ann -P hunter2hunter2", "the broker refuses the user ann or the password"},
			{"-P " + strings.TrimSpace(token), "below -i sensors/bench; or start the broker with --open"},
		} {
			args := "bench fanout --subscribers 2 -d 100ms --warmup 0 -V " + version + " --url mqtt://" + p.Addresses["tcp"] + " " + tt.args
			if status, stdout, stderr := outcrytest.Call(t, "", strings.Fields(args)...); status != 1 || stdout != "" || !strings.Contains(stderr, tt.want) {
				t.Errorf("%s: status %d, output %q, error %q, want %q", args, status, stdout, stderr, tt.want)
			}
		}
	}
}

func TestBenchRefuses(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{"bench dance", `unknown command "dance"`},
		{"bench fanout --subscriber 10", "did you mean --subscribers?"},
		{"bench fanout --qos 3", "--qos 3: want 0, 1 or 2"},
		{"bench fanout -V 3", "the bench speaks MQTT 3.1.1 (4) and 5"},
		{"bench pairs --payload 3", "payload bytes 3: want 16"},
		{"bench conns --url mqtt://127.0.0.1:1", "connection refused"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			status, stdout, stderr := outcrytest.Call(t, "", strings.Fields(tt.args)...)
			if status != 1 || stdout != "" || !strings.Contains(stderr, tt.want) {
				t.Errorf("status %d, output %q, error %q, want %q", status, stdout, stderr, tt.want)
			}
		})
	}
}
