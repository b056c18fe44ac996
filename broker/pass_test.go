package broker_test

import (
	"errors"
	"testing"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/guard"
)

// TestPassThatHasLeft has a connection go before it is known whose it is: its address must not have it for ever.
func TestPassThatHasLeft(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{Limits: broker.Limits{Guard: guard.Options{MaxPerAddress: 1}}})
	const remote = "192.0.2.1:1000"
	gone, err := s.Enter("")
	if err != nil {
		t.Fatal(err)
	}
	gone.Leave()
	if err := gone.From(remote); !errors.Is(err, broker.ErrClosed) {
		t.Errorf("From after Leave: %v, want ErrClosed", err)
	}
	only, err := s.Enter(remote)
	if err != nil {
		t.Fatalf("the first connection that the address has: %v", err)
	}
	if _, err := s.Enter(remote); !errors.Is(err, broker.ErrTooManyConnections) {
		t.Errorf("the second: %v, want ErrTooManyConnections", err)
	}
	only.Leave()
	only.Leave()
	again, err := s.Enter(remote)
	if err != nil {
		t.Fatalf("after it has left: %v", err)
	}
	again.Leave()
}
