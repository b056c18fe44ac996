package attacks_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/tests/crash/victim"
)

// server is the program that is attacked. Clients may do everything unless its arguments say otherwise.
type server struct {
	*victim.Victim
	t    *testing.T
	life *victim.Life
}

// serve starts a broker that listens on free ports for TCP and WebSocket, and stops it when the test ends: it must still
// be there then, and end well.
func serve(t *testing.T, args ...string) *server {
	t.Helper()
	folder := t.TempDir()
	v := &victim.Victim{Binary: outcry, Folder: folder, Data: filepath.Join(folder, "data"),
		Args: append([]string{"--ws", "127.0.0.1:0"}, args...)}
	life, err := v.Begin(0)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{v, t, life}
	t.Cleanup(s.stop)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := life.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *server) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.life.Stop(ctx); err != nil {
		s.t.Error(err)
	}
	if text, err := os.ReadFile(s.LogFile()); s.t.Failed() && err == nil {
		s.t.Logf("the broker wrote:\n%s", text)
	}
}

// set are the arguments that set keys of the configuration.
func set(pairs ...string) (args []string) {
	for _, p := range pairs {
		args = append(args, "--set", p)
	}
	return args
}

// ask gets a page of the operator's HTTP.
func (s *server) ask(path string) io.ReadCloser {
	s.t.Helper()
	answer, err := http.Get("http://" + s.Address("http") + path)
	if err != nil {
		s.t.Fatal(err)
	}
	if answer.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: %s", path, answer.Status)
	}
	return answer.Body
}

// metric is the sum of all metrics that begin so: a name, perhaps with the beginning of labels.
func (s *server) metric(prefix string) (sum float64) {
	s.t.Helper()
	body := s.ask("/metrics")
	defer body.Close()
	for lines := bufio.NewScanner(body); lines.Scan(); {
		if !strings.HasPrefix(lines.Text(), prefix) {
			continue
		}
		v, err := strconv.ParseFloat(lines.Text()[strings.LastIndexByte(lines.Text(), ' ')+1:], 64)
		if err != nil {
			s.t.Fatal(err)
		}
		sum += v
	}
	return sum
}

// wantClients waits until so many clients are connected.
func (s *server) wantClients(n int) {
	s.t.Helper()
	eventually(s.t, fmt.Sprint(n, " clients are connected"), func() bool {
		return s.metric("outcry_broker_connections_open{") == float64(n)
	})
}

// heap is what the process holds, in bytes, after a collection.
func (s *server) heap() int64 {
	s.t.Helper()
	body := s.ask("/debug/pprof/heap?gc=1")
	_, _ = io.Copy(io.Discard, body)
	body.Close()
	return int64(s.metric("go_memstats_heap_alloc_bytes ") + s.metric("go_memstats_stack_inuse_bytes "))
}

// memory is one of the figures of the process's memory, in bytes: VmRSS is what is resident now, VmHWM the most that was.
func (s *server) memory(name string) int64 {
	s.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.life.Pid()))
	if err != nil {
		s.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), name+":")
	var kib int64
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		s.t.Fatal(err)
	}
	return kib << 10
}

// wantGrowth fails if the process's memory has at some time been more than bytes larger than before.
func (s *server) wantGrowth(before, bytes int64) {
	s.t.Helper()
	grown := s.memory("VmHWM") - before
	s.t.Logf("resident memory grew by %d KiB at most; %d are allowed", grown>>10, bytes>>10)
	if grown > bytes {
		s.t.Errorf("resident memory grew by %d bytes, want %d at most", grown, bytes)
	}
}

// wantHeapBack waits until the process holds no more than bytes more than before.
func (s *server) wantHeapBack(before, bytes int64) {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("the heap is less than %d bytes larger than before", bytes), func() bool {
		return s.heap() < before+bytes
	})
}
