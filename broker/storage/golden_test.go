package storage_test

import (
	"encoding/hex"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker/storage"
)

// record is the codec of every kind of record.
type record interface {
	Key() string
	Append(b []byte) []byte
	Parse(key string, value []byte) error
}

// golden is a record with the bytes that a store has of it. They may not change: stores of every version have them.
type golden struct {
	name       string
	space      storage.Space
	record     record
	key, value string // hexadecimal
}

const never = int64(math.MaxInt64)

func sampleWill() *storage.Will {
	return &storage.Will{
		Topic: "wills/c", QoS: 2, Retain: true, Props: []byte{1, 1}, Payload: []byte("gone"), Delay: 5 * time.Second, Expiry: time.Minute,
		Assigned: true, Claims: map[string]any{"roles": []any{"a", "b"}, "level": 3.5},
		Method: "jwt", Listener: "tcp", Remote: "192.0.2.7:1234", Version: 5,
	}
}

func startedWill() *storage.Will {
	w := sampleWill()
	w.Assigned, w.Claims, w.Expiry = false, nil, 30*time.Second
	return w
}

// sampleFlow is a flow with losses and forgone places as given.
func sampleFlow(l storage.Losses, forgone ...storage.Places) *storage.Flow {
	return &storage.Flow{
		Session: 300, SentSeq: 1000, LastID: 701,
		Outgoing: []storage.Outgoing{
			{Seq: 5, ID: 65535, State: storage.AwaitPubcomp}, {Seq: 998, ID: 699, State: storage.AwaitPuback},
			{Seq: 999, ID: 700, State: storage.AwaitPubrec}, {Seq: 1000, ID: 701, State: storage.AwaitPubcomp},
		},
		Received: []uint16{7, 300}, Losses: l, Forgone: forgone,
	}
}

const flowHex = "01e807bd050405ffff0303e607bb0501e707bc0502e807bd05030207ac02"

var goldens = []golden{
	{
		"session: offline, stopped by the server, with a will", storage.SpaceSessions,
		&storage.Session{
			ClientID: "c", Number: 300, User: "ann", Expiry: time.Hour, Offline: true, EndsAt: 1_700_003_610_000, Deferred: true,
			Will: sampleWill(), WillAt: 1_700_000_015_000,
		}, "63",
		"0107ac0203616e6e80bab703a0f6e381fa620e904ec0a9070777696c6c732f6302010104676f6e651f7b226c6576656c223a332e352c22726f6c6573" +
			"223a5b2261222c2262225d7d036a7774037463700e3139322e302e322e373a3132333405b08aadfef962",
	},
	{
		"session: offline, its will was due", storage.SpaceSessions,
		&storage.Session{
			ClientID: "c", Number: 300, User: "ann", Expiry: time.Hour, Offline: true, EndsAt: 1_700_003_610_000,
			Will: startedWill(), WillAt: 1_700_000_015_000,
		}, "63",
		"0103ac0203616e6e80bab703a0f6e381fa6206904ee0d4030777696c6c732f6302010104676f6e65046e756c6c036a7774037463700e3139322e302e" +
			"322e373a3132333405b08aadfef962",
	},
	{
		"session: offline, without an end", storage.SpaceSessions,
		&storage.Session{ClientID: "c", Number: 300, User: "ann", Expiry: storage.Forever, Offline: true, EndsAt: never}, "63",
		"0101ac0203616e6efeffffffffffffffff01feffffffffffffffff01",
	},
	{
		"session: connected", storage.SpaceSessions,
		&storage.Session{ClientID: "c", Number: 300, User: "ann", Expiry: storage.Forever}, "63",
		"0100ac0203616e6efeffffffffffffffff01",
	},
	{
		"session: connected, with a will", storage.SpaceSessions,
		&storage.Session{ClientID: "c", Number: 300, User: "ann", Expiry: storage.Forever, Will: sampleWill()}, "63",
		"0102ac0203616e6efeffffffffffffffff010e904ec0a9070777696c6c732f6302010104676f6e651f7b226c6576656c223a332e352c22726f6c6573" +
			"223a5b2261222c2262225d7d036a7774037463700e3139322e302e322e373a3132333405",
	},
	{
		"subscription", storage.SpaceSubscriptions,
		&storage.Subscription{Session: 300, Filter: "a/+/#", QoS: 1}, "000000000000012c612f2b2f23", "010100",
	},
	{
		"subscription: every option", storage.SpaceSubscriptions,
		&storage.Subscription{
			Session: 300, Filter: "a/+/#", QoS: 2, ID: 268435455, Handling: 2, NoLocal: true, Retain: true, Replays: true,
			Every: 250 * time.Millisecond,
		}, "000000000000012c612f2b2f23", "016effffff7f80e59a77",
	},
	{
		"subscription: shared", storage.SpaceSubscriptions,
		&storage.Subscription{Session: 300, Share: "g", Filter: "a/b", QoS: 2, ID: 1, Handling: 1, Retain: true},
		"000000000000012c2473686172652f672f612f62", "011a01",
	},
	{"flow: empty", storage.SpaceFlows, &storage.Flow{Session: 300}, "000000000000012c", "010000000000"},
	{"flow: both directions", storage.SpaceFlows, sampleFlow(storage.Losses{}), "000000000000012c", flowHex + "00"},
	{
		"flow: forgone places", storage.SpaceFlows,
		sampleFlow(storage.Losses{}, storage.Places{From: 1002, To: 1002}, storage.Places{From: 1010, To: 1400}),
		"000000000000012c", flowHex + "000002ea0700f2078603",
	},
	{
		"flow: lost, missed and forgone", storage.SpaceFlows,
		sampleFlow(
			storage.Losses{Counts: []storage.Loss{{Reason: "queue_full", Count: 400}}, Last: 1_700_000_009_000, Missed: true, MissedQoS: 1},
			storage.Places{From: 1002, To: 1002}, storage.Places{From: 1010, To: 1400},
		), "000000000000012c", flowHex + "010a71756575655f66756c6c9003d0acacfef9620202ea0700f2078603",
	},
	{
		"flow: lost for two reasons", storage.SpaceFlows,
		sampleFlow(storage.Losses{
			Counts: []storage.Loss{{Reason: "queue_full", Count: 400}, {Reason: "packet_too_large", Count: 1}}, Last: 1_700_000_009_000,
		}), "000000000000012c", flowHex + "020a71756575655f66756c6c9003107061636b65745f746f6f5f6c6172676501d0acacfef962",
	},
	{
		"flow: missed", storage.SpaceFlows, sampleFlow(storage.Losses{Missed: true, MissedQoS: 2}),
		"000000000000012c", flowHex + "0003",
	},
	{
		"message: no targets", storage.SpaceMessages,
		&storage.Message{
			Number: 1 << 40, Topic: "a/b", QoS: 2, Retain: true, Expires: 1_700_000_070_000, Props: []byte{3, 0, 1, 'x'},
			Payload: []byte("hello"),
		}, "0000010000000000", "010ee0e5b3fef96203612f6204030001780568656c6c6f",
	},
	{
		"message: every kind of target", storage.SpaceMessages,
		&storage.Message{
			Number: 1 << 40, Topic: "a/b", QoS: 2, Retain: true, Expires: 1_700_000_070_000, Props: []byte{3, 0, 1, 'x'},
			Payload: []byte("hello"),
			Targets: []storage.Target{
				{Session: 300, Seq: 12, QoS: 2, Retain: true, IDs: []uint32{1, 268435455}},
				{Session: 1, Seq: 300, QoS: 1, Share: "g", Filter: "a/b"},
				{Session: 1, Seq: 301},
			},
		}, "0000010000000000", "010ee0e5b3fef96203612f6204030001780568656c6c6fac020c0e0201ffffff7f01ac0211016703612f6201ad0200",
	},
	{
		"message: plain", storage.SpaceMessages,
		&storage.Message{
			Number: 1, Topic: "t", QoS: 1, Props: []byte{}, Payload: []byte{}, Targets: []storage.Target{{Session: 1, Seq: 1, QoS: 1}},
		}, "0000000000000001", "010101740000010101",
	},
	{
		"retained", storage.SpaceRetained,
		&storage.Retained{Topic: "a/b", QoS: 2, Expires: 1_700_000_070_000, Props: []byte{3, 0, 1, 'x'}, Payload: []byte("hello")},
		"612f62", "0106e0e5b3fef962040300017868656c6c6f",
	},
	{
		"retained: plain", storage.SpaceRetained, &storage.Retained{Topic: "t", Props: []byte{}, Payload: []byte("x")},
		"74", "01000078",
	},
	{
		"clock", storage.SpaceNotes, &storage.Clock{Stamp: 1_700_000_010_000, Wall: 1_700_000_123_456},
		"636c6f636b", "a0bcacfef96280a9bafef962",
	},
}

// newRecord is an empty record of a space.
func newRecord(s storage.Space) record {
	return [storage.Spaces]func() record{
		storage.SpaceRetained:      func() record { return new(storage.Retained) },
		storage.SpaceSessions:      func() record { return new(storage.Session) },
		storage.SpaceSubscriptions: func() record { return new(storage.Subscription) },
		storage.SpaceFlows:         func() record { return new(storage.Flow) },
		storage.SpaceMessages:      func() record { return new(storage.Message) },
		storage.SpaceNotes:         func() record { return new(storage.Clock) },
	}[s]()
}

func unhex(tb testing.TB, text string) []byte {
	tb.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func TestGolden(t *testing.T) {
	for _, g := range goldens {
		if got := hex.EncodeToString([]byte(g.record.Key())); got != g.key {
			t.Errorf("%s: key %s, want %s", g.name, got, g.key)
		}
		if got := hex.EncodeToString(g.record.Append(nil)); got != g.value {
			t.Errorf("%s: value\n%s, want\n%s", g.name, got, g.value)
		}
		got := newRecord(g.space)
		if err := got.Parse(string(unhex(t, g.key)), unhex(t, g.value)); err != nil || !reflect.DeepEqual(got, g.record) {
			t.Errorf("%s: read\n%+v, %v, want\n%+v", g.name, got, err, g.record)
		}
	}
}

// Append must keep the given bytes and add the record to them.
func TestAppend(t *testing.T) {
	for _, g := range goldens {
		if got := string(g.record.Append([]byte("before"))); got != "before"+string(unhex(t, g.value)) {
			t.Errorf("%s: %q", g.name, got)
		}
	}
}

// A record is read into one that has held another.
func TestParseAgain(t *testing.T) {
	for _, before := range goldens {
		for _, g := range goldens {
			if g.space != before.space {
				continue
			}
			got := newRecord(g.space)
			for _, each := range []golden{before, g} {
				if err := got.Parse(string(unhex(t, each.key)), unhex(t, each.value)); err != nil {
					t.Fatalf("%s: %v", each.name, err)
				}
			}
			if m, ok := got.(*storage.Message); ok && len(m.Targets) == 0 {
				m.Targets = nil
			}
			if !reflect.DeepEqual(got, g.record) {
				t.Errorf("%s after %s: %+v", g.name, before.name, got)
			}
		}
	}
}
