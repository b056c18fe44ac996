package storage_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/broker/storage"
)

// pairs is a store in memory: values by space and key.
type pairs [storage.Spaces]map[string][]byte

func (p *pairs) put(space storage.Space, key string, value []byte) {
	if p[space] == nil {
		p[space] = map[string][]byte{}
	}
	p[space][key] = value
}

func (p *pairs) Load(space storage.Space, fn func(key string, value []byte) error) error {
	for key, value := range p[space] {
		if err := fn(key, value); err != nil {
			return err
		}
	}
	return nil
}

func (p *pairs) Commit(ops []storage.Op, done func(error)) {
	for _, op := range ops {
		p.Later(op)
	}
	done(nil)
}

func (p *pairs) Later(op storage.Op) {
	if op.Delete {
		delete(p[op.Space], op.Key)
		return
	}
	p.put(op.Space, op.Key, op.Value)
}

func (p *pairs) Close() error { return nil }

// goldenStore has a record of each kind.
func goldenStore(tb testing.TB) *pairs {
	p := new(pairs)
	for _, g := range goldens {
		p.put(g.space, string(unhex(tb, g.key)), unhex(tb, g.value))
	}
	return p
}

// problems returns the problems that a check finds in a store.
func problems(tb testing.TB, of storage.Loader) (all []string) {
	tb.Helper()
	if err := storage.Check(of, func(err error) { all = append(all, err.Error()) }); err != nil {
		tb.Fatal(err)
	}
	slices.Sort(all)
	return all
}

func TestCheck(t *testing.T) {
	if got := problems(t, goldenStore(t)); len(got) > 0 {
		t.Errorf("a sound store has %q", got)
	}
	p := goldenStore(t)
	p.put(storage.SpaceNotes, "a later version's", []byte("note"))
	if got := problems(t, p); len(got) > 0 {
		t.Errorf("a note that is unknown is %q", got)
	}
	for space := range storage.Space(storage.Spaces) {
		p := goldenStore(t)
		for key := range p[space] {
			p.put(space, key, []byte("x"))
		}
		if got := problems(t, p); len(got) != len(p[space]) {
			t.Errorf("%d records of space %d are wrong: %q", len(p[space]), space, got)
		}
	}
}

// What each record says alone may be right, and wrong together.
func TestCheckOfSeveral(t *testing.T) {
	p := goldenStore(t)
	p.put(storage.SpaceSessions, "other", p[storage.SpaceSessions]["c"])
	if got := problems(t, p); len(got) != 1 || !strings.Contains(got[0], "has the same number 300 as") {
		t.Errorf("two sessions of one number are %q", got)
	}
	p = goldenStore(t)
	f := &storage.Flow{Session: 300, Outgoing: []storage.Outgoing{{Seq: 1, ID: 7, State: 1}, {Seq: 2, ID: 7, State: 1}}}
	p.put(storage.SpaceFlows, f.Key(), f.Append(nil))
	if got := problems(t, p); len(got) != 1 || !strings.Contains(got[0], "packet identifier 7 is in use twice") {
		t.Errorf("a packet identifier that is in use twice is %q", got)
	}
}

// failing is a store whose disk cannot be read.
type failing struct{ *pairs }

var errDisk = errors.New("input/output error")

func (f failing) Load(storage.Space, func(string, []byte) error) error { return errDisk }

func TestCheckOfFailingStore(t *testing.T) {
	err := storage.Check(failing{}, func(err error) { t.Error(err) })
	if !errors.Is(err, errDisk) {
		t.Errorf("the check says %v", err)
	}
	if err := storage.DropSession(failing{}, "c"); !errors.Is(err, errDisk) {
		t.Errorf("dropping says %v", err)
	}
}

func TestDropSession(t *testing.T) {
	p := goldenStore(t)
	other := &storage.Subscription{Session: 301, Filter: "a"}
	p.put(storage.SpaceSubscriptions, other.Key(), other.Append(nil))
	if err := storage.DropSession(p, "nobody"); !errors.Is(err, storage.ErrNoSession) {
		t.Errorf("a session that is not there: %v", err)
	}
	if err := storage.DropSession(p, "c"); err != nil {
		t.Fatal(err)
	}
	left := fmt.Sprint(len(p[storage.SpaceSessions]), len(p[storage.SpaceSubscriptions]), len(p[storage.SpaceFlows]))
	if left != "0 1 0" {
		t.Errorf("sessions, subscriptions and flows that are left: %s", left)
	}

	p = goldenStore(t)
	p.put(storage.SpaceSessions, "c", []byte{99})
	if err := storage.DropSession(p, "c"); err != nil || len(p[storage.SpaceSessions]) != 0 || len(p[storage.SpaceFlows]) != 1 {
		t.Errorf("of a session that cannot be read its record goes: %v, %v", err, p)
	}
}
