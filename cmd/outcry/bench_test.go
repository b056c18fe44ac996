package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/bench"
)

func TestBench(t *testing.T) {
	p := startServe(t, t.TempDir(), "--open")
	url := "mqtt://" + p.addresses["tcp"]
	t.Run("tables", func(t *testing.T) {
		status, stdout, stderr := call(t, "", "bench", "fanout", "--url", url, "--subscribers", "10", "-d", "200ms", "--warmup", "0", "-q", "1")
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
		ws := "ws://" + p.addresses["ws"]
		status, stdout, stderr := call(t, "", "bench", "storm", "--url", ws, "-n", "20", "-V", "4", "-u", "ann", "-P", "secret", "--json")
		var r bench.Report
		if err := json.Unmarshal([]byte(stdout), &r); err != nil || status != 0 || stderr != "" {
			t.Fatalf("status %d, %v: %s%s", status, err, stdout, stderr)
		}
		if r.Scenario != bench.Storm || r.Version != 4 || r.Connections.Opened != 20 || len(r.Rounds) != 1 {
			t.Errorf("report %+v", r)
		}
	})
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
			status, stdout, stderr := call(t, "", strings.Fields(tt.args)...)
			if status != 1 || stdout != "" || !strings.Contains(stderr, tt.want) {
				t.Errorf("status %d, output %q, error %q, want %q", status, stdout, stderr, tt.want)
			}
		})
	}
}
