package history_test

import (
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/tests/crash/history"
)

// step is an event of a history.
type step func(*history.Log)

func id(n int) history.ID { return history.ID{Publisher: "p", Number: n} }

func sent(n int, topic string, qos byte) step {
	return func(l *history.Log) { l.Send(history.Message{ID: id(n), Topic: topic, QoS: qos}) }
}

func kept(n int, topic string) step {
	return func(l *history.Log) { l.Send(history.Message{ID: id(n), Topic: topic, QoS: 1, Retain: true}) }
}

func acked(n int) step   { return func(l *history.Log) { l.Ack(id(n)) } }
func refused(n int) step { return func(l *history.Log) { l.Refuse(id(n)) } }

func subscribed(client, group, filter string, qos byte) step {
	return func(l *history.Log) {
		asking(client, group, filter, qos)(l)
		l.Subscribed(client, []history.Filter{{Name: filter, QoS: qos}})
	}
}

func asking(client, group, filter string, qos byte) step {
	return func(l *history.Log) { l.Subscribe(client, group, []history.Filter{{Name: filter, QoS: qos}}) }
}

func got(client string, n int, topic string, qos byte) step {
	return arrived(client, history.Arrival{Topic: topic, Payload: id(n).Payload(), QoS: qos})
}

func arrived(client string, a history.Arrival) step {
	return func(l *history.Log) { l.Receive(client, a) }
}

// TestVerify checks the faults found in histories of correct and faulty brokers.
func TestVerify(t *testing.T) {
	for _, tt := range []struct {
		name  string
		steps []step
		found map[string]history.ID // the retained messages at the end
		want  []history.Kind
	}{
		{"all arrives", []step{subscribed("s", "", "#", 2),
			sent(1, "a", 1), sent(2, "a", 2), acked(1), acked(2), got("s", 1, "a", 1), got("s", 2, "a", 2)}, nil, nil},
		{"arrives before it is acknowledged", []step{subscribed("s", "", "#", 2),
			sent(1, "a", 1), got("s", 1, "a", 1), acked(1)}, nil, nil},
		{"acknowledged and lost", []step{subscribed("s", "", "a/+", 1), sent(1, "a/b", 1), acked(1)}, nil, []history.Kind{history.Lost}},
		{"lost at one of two", []step{subscribed("s", "", "#", 1), subscribed("r", "", "#", 1),
			sent(1, "a", 1), acked(1), got("r", 1, "a", 1)}, nil, []history.Kind{history.Lost}},
		{"lost although the retained copy came", []step{subscribed("s", "", "#", 1), kept(1, "a"), acked(1),
			arrived("s", history.Arrival{Topic: "a", Payload: id(1).Payload(), QoS: 1, Retain: true})},
			map[string]history.ID{"a": id(1)}, []history.Kind{history.Lost}},
		{"not acknowledged", []step{subscribed("s", "", "#", 1), sent(1, "a", 1)}, nil, nil},
		{"refused", []step{subscribed("s", "", "#", 1), sent(1, "a", 1), refused(1)}, nil, nil},
		{"sent before the SUBACK", []step{sent(1, "a", 1), subscribed("s", "", "#", 1), acked(1)}, nil, nil},
		{"subscribed to something else", []step{subscribed("s", "", "a/b/#", 1), sent(1, "a", 1), acked(1)}, nil, nil},
		{"QoS 1 twice", []step{subscribed("s", "", "#", 1),
			sent(1, "a", 2), acked(1), got("s", 1, "a", 1), got("s", 1, "a", 1)}, nil, nil},
		{"QoS 2 twice", []step{subscribed("s", "", "#", 2),
			sent(1, "a", 2), acked(1), got("s", 1, "a", 2), got("s", 1, "a", 2)}, nil, []history.Kind{history.Twice}},
		{"QoS 2 twice, never acknowledged", []step{subscribed("s", "", "#", 2),
			sent(1, "a", 2), got("s", 1, "a", 2), got("s", 1, "a", 2)}, nil, []history.Kind{history.Twice}},
		{"less than was granted", []step{subscribed("s", "", "#", 1), subscribed("s", "", "a", 2),
			sent(1, "a", 2), got("s", 1, "a", 1)}, nil, []history.Kind{history.Protocol}},
		{"out of order", []step{subscribed("s", "", "#", 1),
			sent(1, "a", 1), sent(2, "a", 1), got("s", 2, "a", 1), got("s", 1, "a", 1)}, nil, []history.Kind{history.Order}},
		{"sent again, which rewinds", []step{subscribed("s", "", "#", 1), sent(1, "a", 1), sent(2, "a", 1),
			got("s", 1, "a", 1), got("s", 2, "a", 1), got("s", 1, "a", 1), got("s", 2, "a", 1)}, nil, nil},
		{"another topic or QoS has its own order", []step{subscribed("s", "", "#", 2), sent(1, "a", 1), sent(2, "b", 1),
			sent(3, "a", 2), got("s", 3, "a", 2), got("s", 2, "b", 1), got("s", 1, "a", 1)}, nil, nil},
		{"a member of the group", []step{subscribed("s", "g", "#", 1), subscribed("r", "g", "#", 1),
			sent(1, "a", 1), sent(2, "a", 1), acked(1), acked(2), got("r", 2, "a", 1), got("s", 1, "a", 1)}, nil, nil},
		{"no member of the group", []step{subscribed("s", "g", "#", 1), subscribed("r", "", "#", 1),
			sent(1, "a", 1), acked(1), got("r", 1, "a", 1)}, nil, []history.Kind{history.Lost}},
		{"never sent", []step{subscribed("s", "", "#", 1), got("s", 1, "a", 1)}, nil, []history.Kind{history.Foreign}},
		{"sent to another topic", []step{subscribed("s", "", "#", 1), sent(1, "a", 1), got("s", 1, "b", 1)}, nil, []history.Kind{history.Foreign}},
		{"before the SUBACK", []step{asking("s", "", "a", 1), sent(1, "a", 1), got("s", 1, "a", 1)}, nil, nil},
		{"something else was subscribed to", []step{subscribed("s", "", "b", 1), sent(1, "a", 1), got("s", 1, "a", 1)}, nil, []history.Kind{history.Foreign}},
		{"never subscribed", []step{sent(1, "a", 1), got("s", 1, "a", 1)}, nil, []history.Kind{history.Foreign}},
		{"a payload that was changed", []step{subscribed("s", "", "#", 1), sent(1, "a", 1),
			arrived("s", history.Arrival{Topic: "a", Payload: id(1).Payload() + "!", QoS: 1})}, nil, []history.Kind{history.Foreign}},
		{"retained", []step{kept(1, "a"), acked(1), kept(2, "a")}, map[string]history.ID{"a": id(1)}, nil},
		{"retained, and never acknowledged", []step{kept(1, "a"), acked(1), kept(2, "a")}, map[string]history.ID{"a": id(2)}, nil},
		{"retained, but an older one", []step{kept(1, "a"), acked(1), kept(2, "a"), acked(2)},
			map[string]history.ID{"a": id(1)}, []history.Kind{history.Retained}},
		{"not retained", []step{kept(1, "a"), acked(1)}, nil, []history.Kind{history.Retained}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := history.New(io.Discard)
			l.BeginRound(1)
			for _, step := range tt.steps {
				step(l)
			}
			var kinds []history.Kind
			faults := l.Verify(tt.found)
			for _, f := range faults {
				kinds = append(kinds, f.Kind)
			}
			if !slices.Equal(kinds, tt.want) {
				t.Errorf("got %v, want %v", faults, tt.want)
			}
		})
	}
}

func TestOwed(t *testing.T) {
	l := history.New(io.Discard)
	subscribed("s", "", "#", 1)(l)
	for i, tt := range []struct {
		step step
		want int
	}{
		{sent(1, "a", 1), 0}, {sent(2, "a", 1), 0}, {acked(2), 1}, {acked(1), 2}, {got("s", 2, "a", 1), 1},
		{got("s", 1, "a", 1), 0}, {sent(3, "a", 1), 0}, {refused(3), 0}, {sent(4, "a", 1), 0}, {acked(4), 1},
	} {
		tt.step(l)
		if got := l.Owed(0); got != tt.want {
			t.Errorf("after step %d: %d are owed, want %d", i, got, tt.want)
		}
	}
}

func TestFaultSaysWhatHappened(t *testing.T) {
	l := history.New(io.Discard)
	l.BeginRound(4)
	for _, step := range []step{subscribed("s", "", "#", 1), subscribed("r", "", "#", 1), sent(7, "a", 1), got("r", 7, "a", 1)} {
		step(l)
	}
	l.BeginRound(5)
	acked(7)(l)
	faults := l.Verify(nil)
	if len(faults) != 1 {
		t.Fatalf("got %v", faults)
	}
	for _, want := range []string{"lost", "s:", "p/7", "sent in round 4", "acknowledged in round 5", "arrived at: r"} {
		if text := faults[0].String(); !strings.Contains(text, want) {
			t.Errorf("%q does not say %q", text, want)
		}
	}
}

func TestMatches(t *testing.T) {
	for _, tt := range []struct {
		filter, topic string
		want          bool
	}{
		{"a", "a", true}, {"a", "b", false}, {"a", "a/b", false}, {"a/b", "a", false}, {"#", "a/b", true}, {"a/#", "a", true},
		{"a/#", "a/b/c", true}, {"a/#", "b", false}, {"+", "a", true}, {"+", "a/b", false}, {"+/b", "a/b", true},
		{"a/+/c", "a/b/c", true}, {"a/+/c", "a/b/d", false}, {"a/+", "a", false},
	} {
		if got := (history.Filter{Name: tt.filter}).Matches(tt.topic); got != tt.want {
			t.Errorf("filter %s, topic %s: got %v", tt.filter, tt.topic, got)
		}
	}
}

func TestPayload(t *testing.T) {
	large := 0
	for n := range 100 {
		payload := id(n).Payload()
		large = max(large, len(payload))
		if back, err := history.ParsePayload(payload); err != nil || back != id(n) {
			t.Errorf("%d: got %v, %v", n, back, err)
		}
		if _, err := history.ParsePayload(payload[:len(payload)-1]); err == nil {
			t.Errorf("%d: a payload that was cut short was not noticed", n)
		}
	}
	if large < 4096 {
		t.Errorf("the largest payload has %d bytes, less than a page", large)
	}
}

func TestTrace(t *testing.T) {
	var b strings.Builder
	l := history.New(&b)
	l.BeginRound(3)
	l.Trace("p01", "> PUBLISH %v", id(1))
	if err := l.Flush(); err != nil || !strings.HasSuffix(b.String(), "r003 p01  > PUBLISH p/1\n") {
		t.Errorf("got %q, %v", b.String(), err)
	}
}
