package devices_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/devices"
)

func TestSensors(t *testing.T) {
	broker := startBroker(t)
	line := newTestProxy(t, broker)
	w := subscribe(t, broker, "sensors/#")
	f, err := devices.NewSensors(devices.SensorsOptions{Options: devices.Options{Broker: line.url, Prefix: "s"}, Count: 5, Rate: 100})
	if err != nil {
		t.Fatal(err)
	}
	stop := run(t, f)
	for _, topic := range []string{"sensors/s1/temperature", "sensors/s5/humidity"} {
		eventually(t, topic, func() bool { return w.payload(topic) != "" })
		var r struct {
			V float64
			T int64
		}
		if err := json.Unmarshal([]byte(w.payload(topic)), &r); err != nil || r.V < 5 || r.V > 98 || r.T == 0 {
			t.Errorf("%s: %s (%v)", topic, w.payload(topic), err)
		}
	}
	status := func(want string) func() bool {
		return func() bool { return w.payload("sensors/s1/status") == want && w.payload("sensors/s5/status") == want }
	}
	eventually(t, "online", status("online"))
	line.cut()
	eventually(t, "offline by the will", status("offline"))
	line.restore()
	eventually(t, "online again", func() bool { return f.Stats().Connects == 10 && status("online")() })
	stop()
	eventually(t, "offline at the end", status("offline"))
	if s := f.Stats(); s.Devices != 5 || s.Connects != 10 || s.Connected != 0 {
		t.Errorf("stats: %+v", s)
	}
}

func TestChatters(t *testing.T) {
	broker := startBroker(t)
	w := subscribe(t, broker, "chat/#")
	f, err := devices.NewChatters(devices.ChattersOptions{
		Options: devices.Options{Broker: broker, Prefix: "c-"}, Count: 4, Rooms: []string{"lobby", "traders"}, Rate: 100,
	})
	if err != nil {
		t.Fatal(err)
	}
	stop := run(t, f)
	eventually(t, "presence in both rooms", func() bool {
		return strings.HasPrefix(w.payload("chat/lobby/here/c-ada"), `{"user":"Ada","since":`) && w.payload("chat/traders/here/c-bela") != ""
	})
	eventually(t, "talk", func() bool { return len(w.messages()) > 60 && f.Stats().Received > 20 })
	stop()
	eventually(t, "presence cleared", func() bool {
		return w.payload("chat/lobby/here/c-ada") == "" && w.payload("chat/traders/here/c-bela") == ""
	})
	checkTalk(t, w.messages())
}

func checkTalk(t *testing.T, messages []message) {
	t.Helper()
	ids, texts, answers := map[string]bool{}, map[string]bool{}, 0
	for _, m := range messages {
		if !strings.HasSuffix(m.topic, "/say") {
			continue
		}
		var s struct {
			ID, From, Text string
			At             int64
		}
		if err := json.Unmarshal(m.payload, &s); err != nil || s.ID == "" || s.From == "" || s.At == 0 {
			t.Fatalf("%s: %v", m.payload, err)
		}
		if ids[s.ID] {
			t.Errorf("id %s came twice", s.ID)
		}
		if strings.Contains(s.Text, "@"+s.From+" ") {
			t.Errorf("%s answers itself: %s", s.From, s.Text)
		}
		if strings.HasPrefix(s.Text, "@") {
			answers++
		}
		ids[s.ID], texts[s.Text] = true, true
	}
	if answers == 0 || len(texts) < len(ids)/3 {
		t.Errorf("%d sentences, %d different, %d answers: too dull", len(ids), len(texts), answers)
	}
}

func TestMachine(t *testing.T) {
	broker := startBroker(t)
	w := subscribe(t, broker, "machine/#")
	f, err := devices.NewMachine(devices.MachineOptions{Options: devices.Options{Broker: broker}, Host: "my/host", Every: 50e6})
	if err != nil {
		t.Fatal(err)
	}
	run(t, f)
	fields := map[string][]string{
		"cpu":     {"percent", "t"},
		"memory":  {"used", "total", "t"},
		"disk":    {"used", "total", "read_bps", "write_bps", "t"},
		"network": {"rx_bps", "tx_bps", "t"},
	}
	for name, want := range fields {
		topic := "machine/my-host/" + name
		eventually(t, topic, func() bool { return w.payload(topic) != "" })
		var got map[string]float64
		if err := json.Unmarshal([]byte(w.payload(topic)), &got); err != nil {
			t.Fatal(topic, err)
		}
		for _, field := range want {
			if _, has := got[field]; !has {
				t.Errorf("%s has no %s: %v", topic, field, got)
			}
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	tests := []struct {
		name string
		make func() error
		want string
	}{
		{"scheme", func() error {
			_, err := devices.NewMachine(devices.MachineOptions{Options: devices.Options{Broker: "http://x"}})
			return err
		}, `unknown scheme "http"; use mqtt, mqtts, ws, wss or unix`},
		{"symbols", func() error { _, err := devices.NewTicker(devices.TickerOptions{Symbols: 1e6}); return err }, "symbols must be between 1 and 20000, not 1000000"},
		{"rate", func() error { _, err := devices.NewTicker(devices.TickerOptions{Rate: -1}); return err }, "rate must be above 0"},
		{"sensors", func() error { _, err := devices.NewSensors(devices.SensorsOptions{Count: -3}); return err }, "sensors must be between 1"},
		{"room", func() error {
			_, err := devices.NewChatters(devices.ChattersOptions{Rooms: []string{"a/b"}})
			return err
		}, `room "a/b"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.make(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}
