package main

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

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/hooks/boltstore"
)

// makeStore makes a data folder whose store has so many notes of 1,000 bytes, and as much that is free.
func makeStore(t *testing.T, keys int) (folder string) {
	t.Helper()
	folder = t.TempDir()
	s, err := boltstore.Open(boltstore.Options{Path: filepath.Join(folder, storeFile)})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 * keys {
		s.Later(broker.Op{Space: broker.SpaceNotes, Key: fmt.Sprintf("key/%d", i), Value: []byte(strings.Repeat(fmt.Sprintf("%09d ", i), 100))})
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = boltstore.Open(boltstore.Options{Path: filepath.Join(folder, storeFile)}); err != nil {
		t.Fatal(err)
	}
	for i := range keys {
		s.Later(broker.Op{Space: broker.SpaceNotes, Key: fmt.Sprintf("key/%d", keys+i), Delete: true})
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return folder
}

// loadStore returns what is in a space of a store that nobody has open.
func loadStore(t *testing.T, path string, space broker.Space) map[string]string {
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

// damageStore changes a value behind the store's back.
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
	path, copied := filepath.Join(folder, storeFile), filepath.Join(t.TempDir(), "copy.db")
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
		{[]string{"backup", copied, "--data", folder}, 1, copied + " is there already; choose another name, or give --force"},
		{[]string{"backup", copied, "--data", folder, "--force"}, 0, copied + ": sound"},
		{[]string{"compact", "--data", folder}, 0, path + ": "},
		{[]string{"check", copied}, 0, "200 keys"},
	} {
		t.Run(strings.Join(test.args, " "), func(t *testing.T) {
			status, stdout, stderr := call(t, "", append([]string{"store"}, test.args...)...)
			if status != test.status || !strings.Contains(stdout+stderr, test.says) {
				t.Errorf("status %d, want %d with %q:\n%s%s", status, test.status, test.says, stdout, stderr)
			}
		})
	}
	if got, want := loadStore(t, copied, broker.SpaceNotes), loadStore(t, path, broker.SpaceNotes); len(got) != 200 || len(want) != 200 || got["key/7"] != want["key/7"] {
		t.Errorf("the copy has %d keys, the store %d", len(got), len(want))
	}
	if mode := modeOf(t, copied); mode != 0o600 {
		t.Errorf("the copy has mode %v", mode)
	}
	_, copy, _ := call(t, "", "store", "backup", "-", "--data", folder)
	if file, err := os.ReadFile(path); err != nil || len(copy) == 0 || int64(len(copy)) > int64(len(file)) {
		t.Errorf("standard output has %d bytes, the file %d, %v", len(copy), len(file), err)
	}
}

func TestStoreThatIsDamaged(t *testing.T) {
	folder := makeStore(t, 50)
	path := filepath.Join(folder, storeFile)
	damageStore(t, path)
	before, _ := os.ReadFile(path)
	status, stdout, stderr := call(t, "", "store", "check", folder)
	if status != 1 || !strings.Contains(stdout, "damaged\n  notes: key key/7: checksum does not match\n") ||
		!strings.Contains(stderr, "put a backup in its place") {
		t.Errorf("check: status %d\n%s%s", status, stdout, stderr)
	}
	copied := filepath.Join(t.TempDir(), "copy.db")
	for _, args := range [][]string{{"backup", copied, "--data", folder}, {"compact", folder}, {"stats", folder}} {
		if status, _, stderr := call(t, "", append([]string{"store"}, args...)...); status != 1 || !strings.Contains(stderr, "damaged") {
			t.Errorf("%s: status %d, %s", args, status, stderr)
		}
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("the file was changed")
	}
	if mode := modeOf(t, copied); mode != 0 {
		t.Error("there is a copy of a damaged store")
	}
}

func TestStoreThatMeansNothing(t *testing.T) {
	folder := makeStore(t, 1)
	s, err := boltstore.Open(boltstore.Options{Path: filepath.Join(folder, storeFile)})
	if err != nil {
		t.Fatal(err)
	}
	s.Later(broker.Op{Space: broker.SpaceRetained, Key: "a\x00b", Value: []byte("no message")})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	status, stdout, _ := call(t, "", "store", "check", folder)
	if status != 1 || !strings.Contains(stdout, `retained message "a\x00b": not a retained message`) {
		t.Errorf("status %d\n%s", status, stdout)
	}
}

func TestStoreOfABrokerThatRuns(t *testing.T) {
	dir := t.TempDir()
	token := filepath.Join(dir, "token")
	if err := os.WriteFile(token, []byte(strings.Repeat("t", 40)), 0o600); err != nil {
		t.Fatal(err)
	}
	p := startServe(t, dir, "--open", "--set", "http.token_file=token", "--set", "http.hosts=ops.example")
	data := filepath.Join(dir, "data")
	if mode := modeOf(t, filepath.Join(data, accessFile)); mode != 0o600 {
		t.Errorf("mode of %s is %v", accessFile, mode)
	}
	var traffic sync.WaitGroup
	stop := make(chan struct{})
	var sent [3]map[string]string
	for i := range sent {
		sent[i] = map[string]string{}
		client := connectPaho(t, p.addresses["tcp"])
		traffic.Go(func() { publishUntil(t, client, fmt.Sprint("t/", i, "/"), stop, sent[i]) })
	}
	for round := range 4 {
		copied := filepath.Join(dir, fmt.Sprint("copy", round, ".db"))
		for _, args := range [][]string{{"check"}, {"stats", "--json"}, {"backup", copied}, {"compact"}} {
			status, stdout, stderr := call(t, "", append(append([]string{"store"}, args...), "--data", data)...)
			if status != 0 {
				t.Errorf("%s: status %d\n%s%s", args, status, stdout, stderr)
			}
		}
		if got := len(loadStore(t, copied, broker.SpaceRetained)); got == 0 && round > 0 {
			t.Errorf("copy %d has nothing in it", round)
		}
	}
	close(stop)
	traffic.Wait()
	p.stop()
	if mode := modeOf(t, filepath.Join(data, accessFile)); mode != 0 {
		t.Errorf("%s is still there", accessFile)
	}
	stored := loadStore(t, filepath.Join(data, storeFile), broker.SpaceRetained)
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
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + address).SetConnectTimeout(patience))
	if token := c.Connect(); !token.WaitTimeout(patience) || token.Error() != nil {
		t.Fatal("not connected: ", token.Error())
	}
	t.Cleanup(func() { c.Disconnect(0) })
	return c
}

// publishUntil publishes retained messages of QoS 1 and notes what was acknowledged.
func publishUntil(t *testing.T, c mqtt.Client, prefix string, stop <-chan struct{}, sent map[string]string) {
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		default:
		}
		topic, payload := fmt.Sprint(prefix, i%200), fmt.Sprintf("payload %d.", i)
		token := c.Publish(topic, 1, true, payload)
		if !token.WaitTimeout(patience) || token.Error() != nil {
			t.Errorf("%s was not acknowledged: %v", topic, token.Error())
			return
		}
		sent[topic] = payload
	}
}

// TestStoreOfABrokerThatWasKilled is of a file that leads to nobody.
func TestStoreOfABrokerThatWasKilled(t *testing.T) {
	p := startServe(t, t.TempDir())
	data := filepath.Join(p.cmd.Dir, "data")
	p.cmd.Process.Kill()
	<-p.ended
	s, err := boltstore.Open(boltstore.Options{Path: filepath.Join(data, storeFile)})
	if err != nil {
		t.Fatal(err)
	}
	status, _, stderr := call(t, "", "store", "check", data)
	if status != 2 || !strings.Contains(stderr, "connection refused; give the broker's http.address with --http") {
		t.Errorf("status %d: %s", status, stderr)
	}
	if err := os.Remove(filepath.Join(data, accessFile)); err != nil {
		t.Fatal(err)
	}
	status, _, stderr = call(t, "", "store", "check", data)
	if status != 2 || !strings.Contains(stderr, "is in use: ") || !strings.Contains(stderr, "set http.address") {
		t.Errorf("status %d: %s", status, stderr)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if status, _, stderr := call(t, "", "store", "check", data); status != 0 {
		t.Errorf("status %d: %s", status, stderr)
	}
}

func TestKilledStoreCompact(t *testing.T) {
	folder := makeStore(t, 2000)
	path := filepath.Join(folder, storeFile)
	want := loadStore(t, path, broker.SpaceNotes)
	for range 8 {
		p := startProcess(t, folder, "store", "compact", path)
		for begun := false; !begun; {
			_, err := os.Stat(path + ".compact")
			begun = err == nil
			select {
			case <-p.ended:
				begun = true
			case <-time.After(time.Millisecond):
			}
		}
		time.Sleep(time.Duration(rand.IntN(int(30 * time.Millisecond)))) // any moment will do
		p.cmd.Process.Kill()
		<-p.ended
		if status, stdout, stderr := call(t, "", "store", "check", path); status != 0 {
			t.Fatalf("status %d\n%s%s", status, stdout, stderr)
		}
	}
	got := loadStore(t, path, broker.SpaceNotes)
	if len(got) != 2000 || len(want) != 2000 || got["key/1999"] != want["key/1999"] {
		t.Errorf("there are %d keys of %d", len(got), len(want))
	}
	if names, err := os.ReadDir(folder); err != nil || len(names) != 1 {
		t.Errorf("left are %v, %v", names, err)
	}
}

func TestCompletionOfStore(t *testing.T) {
	_, words, _ := call(t, "", "__complete", "store", "")
	for _, verb := range []string{"check", "stats", "backup", "compact"} {
		if !strings.Contains(words, verb+"\t") {
			t.Errorf("no %s in %s", verb, words)
		}
	}
	if _, words, _ := call(t, "", "__complete", "store", "backup", "x", "--fo"); !strings.Contains(words, "--force") {
		t.Errorf("no --force in %s", words)
	}
}

func TestStatsAsJSON(t *testing.T) {
	folder := makeStore(t, 20)
	_, stdout, _ := call(t, "", "store", "stats", folder, "--json")
	var r boltstore.Report
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || r.Spaces[broker.SpaceNotes].Keys != 20 || len(r.Largest) != 10 || r.FreeBytes() <= 0 {
		t.Errorf("%v: %s", err, stdout)
	}
}
