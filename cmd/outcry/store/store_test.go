package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/outcry-mqtt/outcry/broker/storage"
	"github.com/outcry-mqtt/outcry/cmd/outcry/outcrytest"
	"github.com/outcry-mqtt/outcry/hooks/boltstore"
)

// makeStore creates a data folder whose store has keys notes of 1,000 bytes, and as much free space.
func makeStore(t *testing.T, keys int) (folder string) {
	t.Helper()
	folder = t.TempDir()
	s, err := boltstore.Open(boltstore.Options{Path: filepath.Join(folder, File)})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 * keys {
		s.Later(storage.Op{Space: storage.SpaceNotes, Key: fmt.Sprintf("key/%d", i), Value: []byte(strings.Repeat(fmt.Sprintf("%09d ", i), 100))})
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = boltstore.Open(boltstore.Options{Path: filepath.Join(folder, File)}); err != nil {
		t.Fatal(err)
	}
	for i := range keys {
		s.Later(storage.Op{Space: storage.SpaceNotes, Key: fmt.Sprintf("key/%d", keys+i), Delete: true})
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return folder
}

// loadStore returns the content of a space of a store that is not open.
func loadStore(t *testing.T, path string, space storage.Space) map[string]string {
	t.Helper()
	s, err := boltstore.Open(boltstore.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	pairs := map[string]string{}
	err = s.Load(space, func(key string, value []byte) error {
		pairs[key] = string(value)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return pairs
}

// damageStore changes a value in the file.
func damageStore(t *testing.T, path string) {
	t.Helper()
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	old := []byte("000000007 000000007 ")
	if !bytes.Contains(file, old) {
		t.Fatal("there is no such value")
	}
	if err := os.WriteFile(path, bytes.ReplaceAll(file, old, []byte("000000007 00000000x ")), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestStoreOfABrokerThatIsStopped(t *testing.T) {
	folder := makeStore(t, 200)
	path, copied := filepath.Join(folder, File), filepath.Join(t.TempDir(), "copy.db")
	for _, test := range []struct {
		args   []string
		status int
		says   string
	}{
		{[]string{"check", "--data", folder}, 0, path + ": sound; 200 keys, "},
		{[]string{"check", folder}, 0, path + ": sound; 200 keys, "},
		{[]string{"check", path, "--json"}, 0, `"name":"notes","keys":200,`},
		{[]string{"check", path, path}, 2, "write outcry store check [FILE]"},
		{[]string{"check", "--dta", folder}, 2, "unknown flag: --dta; did you mean --data?"},
		{[]string{"chek"}, 2, "did you mean check?"},
		{[]string{"check", filepath.Join(folder, "missing")}, 2, "no such file"},
		{[]string{"stats", "--no-config", "--set", "data=" + folder}, 0, "notes   200"},
		{[]string{"backup"}, 2, "write outcry store backup TO"},
		{[]string{"backup", path, "--data", folder, "--force"}, 1, path + " is the store itself; name another file"},
		{[]string{"backup", copied, "--data", folder}, 0, copied + ": sound; 200 keys, "},
		{[]string{"backup", copied, "--data", folder}, 1, copied + " exists; choose another name, or give --force"},
		{[]string{"backup", copied, "--data", folder, "--force"}, 0, copied + ": sound"},
		{[]string{"compact", "--data", folder}, 0, path + ": "},
		{[]string{"check", copied}, 0, "200 keys"},
	} {
		t.Run(strings.Join(test.args, " "), func(t *testing.T) {
			status, stdout, stderr := outcrytest.Call(t, "", append([]string{"store"}, test.args...)...)
			if status != test.status || !strings.Contains(stdout+stderr, test.says) {
				t.Errorf("status %d, want %d with %q:\n%s%s", status, test.status, test.says, stdout, stderr)
			}
		})
	}
	if got, want := loadStore(t, copied, storage.SpaceNotes), loadStore(t, path, storage.SpaceNotes); len(got) != 200 || len(want) != 200 || got["key/7"] != want["key/7"] {
		t.Errorf("the copy has %d keys, the store %d", len(got), len(want))
	}
	if mode := outcrytest.ModeOf(t, copied); mode != 0o600 {
		t.Errorf("the copy has mode %v", mode)
	}
	_, copy, _ := outcrytest.Call(t, "", "store", "backup", "-", "--data", folder)
	if file, err := os.ReadFile(path); err != nil || len(copy) == 0 || int64(len(copy)) > int64(len(file)) {
		t.Errorf("standard output has %d bytes, the file %d, %v", len(copy), len(file), err)
	}
}

func TestStoreThatIsDamaged(t *testing.T) {
	folder := makeStore(t, 50)
	path := filepath.Join(folder, File)
	damageStore(t, path)
	before, _ := os.ReadFile(path)
	status, stdout, stderr := outcrytest.Call(t, "", "store", "check", folder)
	if status != 1 || !strings.Contains(stdout, "damaged\n  notes: key key/7: checksum does not match\n") ||
		!strings.Contains(stderr, "replace it by a backup") {
		t.Errorf("check: status %d\n%s%s", status, stdout, stderr)
	}
	copied := filepath.Join(t.TempDir(), "copy.db")
	for _, args := range [][]string{{"backup", copied, "--data", folder}, {"compact", folder}, {"stats", folder}} {
		if status, _, stderr := outcrytest.Call(t, "", append([]string{"store"}, args...)...); status != 1 || !strings.Contains(stderr, "damaged") {
			t.Errorf("%s: status %d, %s", args, status, stderr)
		}
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("the file was changed")
	}
	if mode := outcrytest.ModeOf(t, copied); mode != 0 {
		t.Error("there is a copy of a damaged store")
	}
}

func TestStoreThatMeansNothing(t *testing.T) {
	folder := makeStore(t, 1)
	s, err := boltstore.Open(boltstore.Options{Path: filepath.Join(folder, File)})
	if err != nil {
		t.Fatal(err)
	}
	s.Later(storage.Op{Space: storage.SpaceRetained, Key: "a\x00b", Value: []byte("no message")})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	status, stdout, _ := outcrytest.Call(t, "", "store", "check", folder)
	if status != 1 || !strings.Contains(stdout, `retained message "a\x00b": unknown version of a retained message`) {
		t.Errorf("status %d\n%s", status, stdout)
	}
}

func TestStoreOfABrokerThatRuns(t *testing.T) {
	dir := t.TempDir()
	token := filepath.Join(dir, "token")
	if err := os.WriteFile(token, []byte(strings.Repeat("token", 8)), 0o600); err != nil {
		t.Fatal(err)
	}
	p := outcrytest.StartServe(t, dir, "--open", "--set", "http.token_file=token", "--set", "http.hosts=ops.example")
	data := filepath.Join(dir, "data")
	if mode := outcrytest.ModeOf(t, filepath.Join(data, AccessFile)); mode != 0o600 {
		t.Errorf("mode of %s is %v", AccessFile, mode)
	}
	var traffic sync.WaitGroup
	stop := make(chan struct{})
	var sent [3]map[string]string
	for i := range sent {
		sent[i] = map[string]string{}
		client := connectPaho(t, p.Addresses["tcp"])
		traffic.Go(func() { publishUntil(t, client, fmt.Sprint("t/", i, "/"), stop, sent[i]) })
	}
	for round := range 4 {
		copied := filepath.Join(dir, fmt.Sprint("copy", round, ".db"))
		for _, args := range [][]string{{"check"}, {"stats", "--json"}, {"backup", copied}, {"compact"}} {
			status, stdout, stderr := outcrytest.Call(t, "", append(append([]string{"store"}, args...), "--data", data)...)
			if status != 0 {
				t.Errorf("%s: status %d\n%s%s", args, status, stdout, stderr)
			}
		}
		if got := len(loadStore(t, copied, storage.SpaceRetained)); got == 0 && round > 0 {
			t.Errorf("copy %d has nothing in it", round)
		}
	}
	close(stop)
	traffic.Wait()
	p.Stop()
	if mode := outcrytest.ModeOf(t, filepath.Join(data, AccessFile)); mode != 0 {
		t.Errorf("%s is still there", AccessFile)
	}
	stored := loadStore(t, filepath.Join(data, File), storage.SpaceRetained)
	for _, sent := range sent {
		if len(sent) == 0 {
			t.Error("a client published nothing")
		}
		for topic, payload := range sent {
			if !strings.Contains(stored[topic], payload) {
				t.Errorf("%s was acknowledged with %s and is %q", topic, payload, stored[topic])
			}
		}
	}
}

func connectPaho(t *testing.T, address string) mqtt.Client {
	t.Helper()
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + address).SetConnectTimeout(outcrytest.WaitLimit))
	if token := c.Connect(); !token.WaitTimeout(outcrytest.WaitLimit) || token.Error() != nil {
		t.Fatal("not connected: ", token.Error())
	}
	t.Cleanup(func() { c.Disconnect(0) })
	return c
}

// publishUntil publishes retained messages of QoS 1 and records the acknowledged ones.
func publishUntil(t *testing.T, c mqtt.Client, prefix string, stop <-chan struct{}, sent map[string]string) {
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		default:
		}
		topic, payload := fmt.Sprint(prefix, i%200), fmt.Sprintf("payload %d.", i)
		token := c.Publish(topic, 1, true, payload)
		if !token.WaitTimeout(outcrytest.WaitLimit) || token.Error() != nil {
			t.Errorf("%s was not acknowledged: %v", topic, token.Error())
			return
		}
		sent[topic] = payload
	}
}

// TestStoreOfABrokerThatWasKilled tests an AccessFile of a broker that no longer runs.
func TestStoreOfABrokerThatWasKilled(t *testing.T) {
	p := outcrytest.StartServe(t, t.TempDir())
	data := filepath.Join(p.Cmd.Dir, "data")
	p.Cmd.Process.Kill()
	<-p.Ended
	s, err := boltstore.Open(boltstore.Options{Path: filepath.Join(data, File)})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(data, AccessFile))
	if err != nil {
		t.Fatal(err)
	}
	// Another program may have the port by now; this one is free.
	text = bytes.Replace(text, []byte(p.Addresses["http"]), []byte("127.0.0.1:1"), 1)
	if err := os.WriteFile(filepath.Join(data, AccessFile), text, 0o600); err != nil {
		t.Fatal(err)
	}
	status, _, stderr := outcrytest.Call(t, "", "store", "check", data)
	if status != 2 || !strings.Contains(stderr, "127.0.0.1:1: connect: connection refused; give the broker's http.address with --http") {
		t.Errorf("status %d: %s", status, stderr)
	}
	if err := os.Remove(filepath.Join(data, AccessFile)); err != nil {
		t.Fatal(err)
	}
	status, _, stderr = outcrytest.Call(t, "", "store", "check", data)
	if status != 2 || !strings.Contains(stderr, "is in use: ") || !strings.Contains(stderr, "set its http.address") {
		t.Errorf("status %d: %s", status, stderr)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if status, _, stderr := outcrytest.Call(t, "", "store", "check", data); status != 0 {
		t.Errorf("status %d: %s", status, stderr)
	}
}

func TestKilledStoreCompact(t *testing.T) {
	folder := makeStore(t, 2000)
	path := filepath.Join(folder, File)
	want := loadStore(t, path, storage.SpaceNotes)
	for range 8 {
		p := outcrytest.Start(t, folder, "store", "compact", path)
		for begun := false; !begun; {
			_, err := os.Stat(path + ".compact")
			begun = err == nil
			select {
			case <-p.Ended:
				begun = true
			case <-time.After(time.Millisecond):
			}
		}
		time.Sleep(time.Duration(rand.IntN(int(30 * time.Millisecond)))) // any moment
		p.Cmd.Process.Kill()
		<-p.Ended
		if status, stdout, stderr := outcrytest.Call(t, "", "store", "check", path); status != 0 {
			t.Fatalf("status %d\n%s%s", status, stdout, stderr)
		}
	}
	got := loadStore(t, path, storage.SpaceNotes)
	if len(got) != 2000 || len(want) != 2000 || got["key/1999"] != want["key/1999"] {
		t.Errorf("there are %d keys of %d", len(got), len(want))
	}
	if names, err := os.ReadDir(folder); err != nil || len(names) != 1 {
		t.Errorf("left are %v, %v", names, err)
	}
}

func TestCompletionOfStore(t *testing.T) {
	_, words, _ := outcrytest.Call(t, "", "__complete", "store", "")
	for _, verb := range []string{"check", "stats", "backup", "compact", "drop-session"} {
		if !strings.Contains(words, verb+"\t") {
			t.Errorf("no %s in %s", verb, words)
		}
	}
	if _, words, _ := outcrytest.Call(t, "", "__complete", "store", "backup", "x", "--fo"); !strings.Contains(words, "--force") {
		t.Errorf("no --force in %s", words)
	}
}

func TestStatsAsJSON(t *testing.T) {
	folder := makeStore(t, 20)
	_, stdout, _ := outcrytest.Call(t, "", "store", "stats", folder, "--json")
	var r boltstore.Report
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || r.Spaces[storage.SpaceNotes].Keys != 20 || len(r.Largest) != 10 || r.FreeBytes() <= 0 {
		t.Errorf("%v: %s", err, stdout)
	}
}
