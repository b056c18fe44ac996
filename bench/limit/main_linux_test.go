package main

import (
	"net"
	"net/url"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/bench"
)

// beLimit in the environment makes the test binary run the program.
const beLimit = "OUTCRY_TEST_BE_LIMIT"

func TestMain(m *testing.M) {
	if os.Getenv(beLimit) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// start starts the program with that many threads, and returns its URL.
func start(t *testing.T, threads string) *url.URL {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := ln.Addr().String()
	ln.Close()
	cmd := exec.Command(os.Args[0], "--tcp", address, "--threads", threads)
	cmd.Env, cmd.Stderr = append(os.Environ(), beLimit+"=1"), os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			return &url.URL{Scheme: "mqtt", Host: address}
		}
		if time.Now().After(end) {
			t.Fatal("it does not listen")
		}
	}
}

// The bare loop forwards everything complete, in order, and to the right subscribers.
func TestEverythingIsPassedOn(t *testing.T) {
	for _, threads := range []string{"1", "2"} {
		broker := start(t, threads)
		for _, o := range []bench.Options{
			{Scenario: bench.Fanout, Subscribers: 50},
			{Scenario: bench.Pairs, Clients: 10},
			{Scenario: bench.Pairs, Clients: 10, Rate: 500, Payload: 100_000},
		} {
			o.URL, o.Version, o.SubscribeQoS, o.Check = broker, 4, -1, true
			o.Duration, o.Drain, o.Stall = 300*time.Millisecond, 30*time.Second, 30*time.Second
			report, err := bench.Run(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if failures := report.Failures(true); len(failures) > 0 || report.Messages.Received == 0 {
				t.Errorf("%s threads, %s: %v, %+v", threads, o.Scenario, failures, report.Messages)
			}
		}
	}
}
