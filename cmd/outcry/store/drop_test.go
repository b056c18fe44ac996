package store

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/outcry-mqtt/outcry/broker/storage"
	"github.com/outcry-mqtt/outcry/cmd/outcry/outcrytest"
)

// connectPersistent connects a client with a durable session.
func connectPersistent(t *testing.T, address, id string) mqtt.Client {
	t.Helper()
	o := mqtt.NewClientOptions().AddBroker("tcp://"+address).SetConnectTimeout(outcrytest.WaitLimit).SetClientID(id).SetCleanSession(false).
		SetAutoReconnect(false).SetWill("status/"+id, "gone", 1, false)
	c := mqtt.NewClient(o)
	if token := c.Connect(); !token.WaitTimeout(outcrytest.WaitLimit) || token.Error() != nil {
		t.Fatal("not connected: ", token.Error())
	}
	if token := c.Subscribe("$share/g/status/#", 1, nil); !token.WaitTimeout(outcrytest.WaitLimit) || token.Error() != nil {
		t.Fatal("not subscribed: ", token.Error())
	}
	return c
}

// TestStoreDropSession drops sessions from the store of a running broker, and of a stopped one.
func TestStoreDropSession(t *testing.T) {
	p := outcrytest.StartServe(t, t.TempDir(), "--open")
	data := filepath.Join(p.Cmd.Dir, "data")
	path := filepath.Join(data, File)
	for _, id := range []string{"one", "two", "-x ü"} {
		defer connectPersistent(t, p.Addresses["tcp"], id).Disconnect(0)
	}
	drop := func(status int, says string, args ...string) {
		t.Helper()
		got, stdout, stderr := outcrytest.Call(t, "", append([]string{"store", "drop-session"}, args...)...)
		if got != status || !strings.Contains(stdout+stderr, says) {
			t.Errorf("%q: status %d, want %d with %q:\n%s%s", args, got, status, says, stdout, stderr)
		}
		if got, stdout, stderr := outcrytest.Call(t, "", "store", "check", data); got != 0 {
			t.Errorf("check: status %d\n%s%s", got, stdout, stderr)
		}
	}
	drop(0, path+`: session "one" dropped`, "one", "--data", data)
	drop(1, `session "one" not dropped: the store has no session of this client identifier`, "one", "--data", data)
	p.Stop()
	drop(0, path+`: session "-x ü" dropped`, "--data", data, "--", "-x ü")
	drop(1, `session "one" not dropped: the store has no session of this client identifier`, "one", "--data", data)
	drop(2, "write outcry store drop-session CLIENT-ID\nsee outcry store drop-session --help", "--data", data)
	drop(2, "write outcry store drop-session CLIENT-ID", "one", "two")
	drop(2, "write outcry store drop-session CLIENT-ID", "")
	drop(2, "unknown shorthand flag", "-x ü")
	if got := loadStore(t, path, storage.SpaceSessions); len(got) != 1 || got["two"] == "" {
		t.Errorf("there are sessions %q", got)
	}
	if got := loadStore(t, path, storage.SpaceSubscriptions); len(got) != 1 {
		t.Errorf("there are subscriptions %q", got)
	}
	missing := t.TempDir()
	status, _, stderr := outcrytest.Call(t, "", "store", "drop-session", "one", "--data", missing)
	if names, err := os.ReadDir(missing); status != 1 || !strings.Contains(stderr, "no such file") || err != nil || len(names) > 0 {
		t.Errorf("without a store: status %d, %s; %v, %v", status, stderr, names, err)
	}
}
