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
	"sync"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/tests/crash/victim"
)

// server is the attacked program. Clients may do everything unless its arguments restrict them.
type server struct {
	*victim.Victim
	t    *testing.T
	life *victim.Life
	once sync.Once // for stop
}

// serve starts a broker that listens on free ports for TCP and WebSocket, and stops it when the test ends: it must
// still run then, and exit cleanly.
func serve(t *testing.T, args ...string) *server {
	t.Helper()
	s := launch(t, args...)
	s.awaitReady()
	return s
}

// launch starts a broker without waiting until it is ready.
func launch(t *testing.T, args ...string) *server {
	t.Helper()
	folder := t.TempDir()
	v := &victim.Victim{Binary: outcry, Folder: folder, Data: filepath.Join(folder, "data"),
		Args: append([]string{"--ws", "127.0.0.1:0"}, args...)}
	life, err := v.Begin(0)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{Victim: v, t: t, life: life}
	t.Cleanup(s.stop)
	return s
}

func (s *server) awaitReady() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), waitLimit)
	defer cancel()
	if _, err := s.life.Ready(ctx); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) stop() { s.once.Do(s.end) }

func (s *server) end() {
	ctx, cancel := context.WithTimeout(context.Background(), waitLimit)
	defer cancel()
	if err := s.life.Stop(ctx); err != nil {
		s.t.Error(err)
	}
	if s.t.Failed() {
		s.logTail()
	}
}

// logTail logs the end of the broker's output.
func (s *server) logTail() {
	if text, err := os.ReadFile(s.LogFile()); err == nil {
		s.t.Logf("the broker wrote at last:\n%s", text[max(0, len(text)-4<<10):])
	}
}

// set returns the arguments that set configuration keys.
func set(pairs ...string) (args []string) {
	for _, p := range pairs {
		args = append(args, "--set", p)
	}
	return args
}

// getOps requests a page of the operator's HTTP.
func (s *server) getOps(path string) io.ReadCloser {
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

// metric returns the sum of all metrics with a prefix: a name, perhaps with the first labels.
func (s *server) metric(prefix string) (sum float64) {
	s.t.Helper()
	body := s.getOps("/metrics")
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

// wantClients waits until n clients are connected.
func (s *server) wantClients(n int) {
	s.t.Helper()
	eventually(s.t, fmt.Sprint(n, " clients are connected"), func() bool {
		return s.metric("outcry_broker_connections_open{") == float64(n)
	})
}

// heap returns the process's heap in bytes, after a collection.
func (s *server) heap() int64 {
	s.t.Helper()
	body := s.getOps("/debug/pprof/heap?gc=1")
	_, _ = io.Copy(io.Discard, body)
	body.Close()
	return int64(s.metric("go_memstats_heap_alloc_bytes ") + s.metric("go_memstats_stack_inuse_bytes "))
}

// memory returns a memory figure of the process in bytes: VmRSS is the resident size, VmHWM its peak.
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

// wantGrowth fails if the process's peak memory is over bytes larger than before.
func (s *server) wantGrowth(before, bytes int64) {
	s.t.Helper()
	grown := s.memory("VmHWM") - before
	s.t.Logf("resident memory grew by %d KiB at most; %d are allowed", grown>>10, bytes>>10)
	if grown > bytes {
		s.t.Errorf("resident memory grew by %d bytes, want %d at most", grown, bytes)
	}
}

// wantHeapBack waits until the heap is at most bytes larger than before.
func (s *server) wantHeapBack(before, bytes int64) {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("the heap is less than %d bytes larger than before", bytes), func() bool {
		return s.heap() < before+bytes
	})
}

// restOf waits some seconds for the heap to be at most most MiB larger than before, and returns the difference.
func (s *server) restOf(before, most int64) (rest int64) {
	s.t.Helper()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if rest = max(0, s.heap()-before) >> 20; rest <= most || time.Now().After(deadline) {
			return rest
		}
	}
}

// scheduled returns the running time of the process's threads and their wait for a processor, in nanoseconds.
func (s *server) scheduled() (ran, waited int64) {
	s.t.Helper()
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", s.life.Pid()))
	for _, file := range files {
		var r, w int64
		if text, err := os.ReadFile(file); err == nil {
			_, _ = fmt.Sscan(string(text), &r, &w)
		}
		ran, waited = ran+r, waited+w
	}
	return ran, waited
}
