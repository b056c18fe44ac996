package storage_test

import (
	"encoding/binary"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/broker/storage"
)

// TestMalformed parses records that have something wrong with them.
func TestMalformed(t *testing.T) {
	number := storage.NumberKey(1)
	const (
		session, subscription, flow = storage.SpaceSessions, storage.SpaceSubscriptions, storage.SpaceFlows
		message, retained, notes    = storage.SpaceMessages, storage.SpaceRetained, storage.SpaceNotes
	)
	for _, test := range []struct {
		name  string
		space storage.Space
		key   string
		value string
		want  string // in the error
	}{
		{"empty session", session, "c", "", "unknown version of a session"},
		{"newer session", session, "c", "\x02\x00\x01\x00\x00", "unknown version of a session"},
		{"session without an expiry", session, "c", "\x01\x00\x01\x00", "malformed session: the record is truncated"},
		{"session with a will of QoS 3", session, "c", "\x01\x02\x01\x00\x00\x03\x00\x00\x01t\x00\x00\x00\x00\x00\x00\x05", "a QoS is 3"},
		{"session whose claims are no object", session, "c", "\x01\x02\x01\x00\x00\x00\x00\x00\x01t\x00\x00\x011\x00\x00\x00\x05", "claims"},
		{"newer subscription", subscription, number + "a", "\x02\x00\x00", "unknown version of a subscription"},
		{"subscription without a number", subscription, "a", "\x01\x00\x00", "key is not a number"},
		{"subscription without a filter", subscription, number, "\x01\x00\x00", "topic is empty"},
		{"subscription to no filter", subscription, number + "a/#/b", "\x01\x00\x00", "# does not stand alone"},
		{"subscription without a share name", subscription, number + "$share//a", "\x01\x00\x00", "share name is empty"},
		{"subscription of QoS 3", subscription, number + "a", "\x01\x03\x00", "a QoS is 3"},
		{"subscription with a large identifier", subscription, number + "a", "\x01\x00\xff\xff\xff\xff\xff\x01", "a number is too large"},
		{"newer flow", flow, number, "\x02\x00\x00\x00\x00\x00", "unknown version of a flow"},
		{"flow of no session", flow, number + "x", "\x01\x00\x00\x00\x00\x00", "key is not a number"},
		{"flow with a large packet identifier", flow, number, "\x01\x00\x80\x80\x04\x00\x00\x00", "a number is too large"},
		{"flow with packet identifier 0", flow, number, "\x01\x00\x00\x01\x01\x00\x01\x00\x00", "a packet identifier is 0"},
		{"flow with state 0", flow, number, "\x01\x00\x00\x01\x01\x01\x00\x00\x00", "state"},
		{"flow with state 4", flow, number, "\x01\x00\x00\x01\x01\x01\x04\x00\x00", "state"},
		{"flow that has received packet identifier 0", flow, number, "\x01\x00\x00\x00\x01\x00\x00", "a packet identifier is 0"},
		{"flow with more messages than bytes", flow, number, "\x01\x00\x00\x02\x01\x01\x01\x00\x00", "the record is truncated"},
		{"flow with more losses than bytes", flow, number, "\x01\x00\x00\x00\x00\x09\x01a\x01\x00", "the record is truncated"},
		{"flow that missed QoS 3", flow, number, "\x01\x00\x00\x00\x00\x00\x04", "QoS of missed messages"},
		{"flow with places in no order", flow, number, "\x01\x00\x00\x00\x00\x00\x00\x02\x05\x02\x06\x00", "ranges of message positions are not in order"},
		{"flow with a place 0", flow, number, "\x01\x00\x00\x00\x00\x00\x00\x01\x00\x00", "ranges of message positions are not in order"},
		{"newer message", message, number, "\x02\x00\x01t\x00\x00", "unknown version of a message"},
		{"message without a number", message, "x", "\x01\x00\x01t\x00\x00", "key is not a number"},
		{"message of QoS 3", message, number, "\x01\x03\x01t\x00\x00", "a QoS is 3"},
		{"message without its payload", message, number, "\x01\x00\x01t\x00\x05abc", "the record is truncated"},
		{"message with half a target", message, number, "\x01\x00\x01t\x00\x00\x01\x01", "the record is truncated"},
		{"message with a target of QoS 3", message, number, "\x01\x00\x01t\x00\x00\x01\x01\x03", "a QoS is 3"},
		{"message with more identifiers than bytes", message, number, "\x01\x00\x01t\x00\x00\x01\x01\x08\x05\x01", "the record is truncated"},
		{"message of a share without a name", message, number, "\x01\x00\x01t\x00\x00\x01\x01\x10\x00\x01a", "no share name"},
		{"newer retained message", retained, "t", "\x09\x00\x00", "unknown version of a retained message"},
		{"retained message without properties", retained, "t", "\x01\x00\xc8\x01", "the record is truncated"},
		{"clock without a system time", notes, "clock", "\x02", "malformed clock"},
		{"clock beyond its last stamp", notes, "clock", "\x82\x80\x80\x80\x80\x80\x04\x02", "malformed clock"},
	} {
		err := newRecord(test.space).Parse(test.key, []byte(test.value))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
}

// Nothing of a record that is cut off anywhere makes a parser panic, and no error is empty.
func TestCutOff(t *testing.T) {
	for _, g := range goldens {
		key, value := string(unhex(t, g.key)), unhex(t, g.value)
		for n := range len(value) {
			got := newRecord(g.space)
			if err := got.Parse(key, value[:n]); err == nil && n < 3 && g.space != storage.SpaceNotes {
				t.Errorf("%s is read from %d bytes: %+v", g.name, n, got)
			}
		}
	}
}

// TestParserBoundsItsAllocation parses small records that announce very long lists.
func TestParserBoundsItsAllocation(t *testing.T) {
	huge := binary.AppendUvarint(nil, math.MaxUint64/2)
	number := storage.NumberKey(1)
	for name, test := range map[string]struct {
		space storage.Space
		key   string
		begin string
	}{
		"messages under way": {storage.SpaceFlows, number, "\x01\x00\x00"},
		"received":           {storage.SpaceFlows, number, "\x01\x00\x00\x00"},
		"losses":             {storage.SpaceFlows, number, "\x01\x00\x00\x00\x00"},
		"places":             {storage.SpaceFlows, number, "\x01\x00\x00\x00\x00\x00\x00"},
		"identifiers":        {storage.SpaceMessages, number, "\x01\x00\x01t\x00\x00\x01\x01\x08"},
		"payload":            {storage.SpaceMessages, number, "\x01\x00\x01t\x00"},
		"properties":         {storage.SpaceRetained, "t", "\x01\x00"},
		"user":               {storage.SpaceSessions, "c", "\x01\x00\x01"},
	} {
		value := append(append([]byte(test.begin), huge...), make([]byte, 100)...)
		record := newRecord(test.space)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := record.Parse(test.key, value)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; err == nil || n > 64<<10 {
			t.Errorf("%s: %d bytes allocated, %v", name, n, err)
		}
	}
}

// A flow and a message are appended for each QoS 1 or 2 message of a durable session.
func TestAppendDoesNotAllocate(t *testing.T) {
	b := make([]byte, 0, 1024)
	for _, g := range goldens {
		if g.space == storage.SpaceSessions {
			continue // claims are JSON
		}
		if n := testing.AllocsPerRun(100, func() { b = g.record.Append(b[:0]) }); n != 0 {
			t.Errorf("%s: %v allocations", g.name, n)
		}
	}
}
