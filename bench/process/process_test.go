package process_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/bench/process"
)

// TestMain is also the program that tests start: it listens at an address given by the test, or fails.
func TestMain(m *testing.M) {
	switch address := os.Getenv("LISTEN"); address {
	case "":
		os.Exit(m.Run())
	case "fail":
		os.Stderr.WriteString("first line\nout of order\n")
		os.Exit(1)
	default:
		l, err := net.Listen("tcp", address)
		if err != nil {
			panic(err)
		}
		for {
			if _, err := l.Accept(); err != nil {
				panic(err)
			}
		}
	}
}

func command(t *testing.T, listen string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "LISTEN="+listen)
	return cmd
}

func TestStartsAndStops(t *testing.T) {
	ports, err := process.FreePorts(2)
	if err != nil || len(ports) != 2 || ports[0] == ports[1] {
		t.Fatalf("ports %v, %v", ports, err)
	}
	address := process.Address(ports[0])
	r, err := process.Start(t.Context(), command(t, address), t.TempDir(), address)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := net.Dial("tcp", address); err != nil {
		t.Error(err)
	} else {
		c.Close()
	}
	r.Stop()
	if c, err := net.Dial("tcp", address); err == nil {
		c.Close()
		t.Error("it runs on")
	}
}

func TestTellsWhyItDidNotStart(t *testing.T) {
	_, err := process.Start(t.Context(), command(t, "fail"), t.TempDir(), "127.0.0.1:1")
	if err == nil || err.Error() != "it ended at once: out of order" {
		t.Errorf("error is %v", err)
	}
}

func TestStartEndsWithItsContext(t *testing.T) {
	ports, err := process.FreePorts(2)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = process.Start(ctx, command(t, process.Address(ports[0])), t.TempDir(), process.Address(ports[1]))
	if err == nil || !strings.Contains(err.Error(), context.DeadlineExceeded.Error()) {
		t.Errorf("error is %v", err)
	}
}
