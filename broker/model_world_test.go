package broker_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
	"github.com/outcry-mqtt/outcry/broker/storage"
)

// world is a broker, its disk, its clients, and what the specification has to say of their sessions. Every step ends when
// the broker has nothing more to do, so what it does is known exactly, except where the disk may not know all of it.
type world struct {
	listener net.Listener
	b        *broker.Broker
	stop     func() error
	disk     *disk
	passed   atomic.Int64 // time that was let pass
	began    time.Time
	devices  map[string]*device
	accounts map[string]*account // by client, of those that have a session
	retained map[string]*attempt // by topic
	stalled  bool
	failing  bool
	payloads int
	serial   int           // of the newest retained message
	starts   int           // of brokers
	patience time.Duration // that a client or the broker is given
	trace    []string
}

// play has steps happen to a new broker, and then ends all sessions. It returns what is not as it has to be, and what
// was sent until then.
func play(steps []step, patience time.Duration) (trace []string, err error) {
	w := &world{
		disk: newDisk(), began: time.Now(), devices: map[string]*device{}, accounts: map[string]*account{},
		retained: map[string]*attempt{}, patience: patience,
	}
	if w.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	defer w.listener.Close()
	if err := w.start(); err != nil {
		return nil, err
	}
	defer func() {
		w.disk.flow()
		err = errors.Join(err, w.stop())
		for _, d := range w.devices {
			d.close()
		}
	}()
	for i, st := range steps {
		if err := w.do(st); err != nil {
			return w.trace, fmt.Errorf("step %d, %s: %w", i+1, st, err)
		}
	}
	return w.trace, w.finish()
}

// start runs a broker on what the disk has.
func (w *world) start() error {
	o := broker.Options{Shards: 2, Store: w.disk}
	o.Limits.MaxSessionExpiry, o.Limits.MaxInflight = -1, modelInflight
	broker.HostInTurns(&o)
	if w.starts++; w.starts%2 == 1 {
		broker.LeaveInSteps(&o)
	}
	broker.SetWallClock(&o, func() time.Time { return time.Now().Add(time.Duration(w.passed.Load())) })
	b, err := broker.New(o)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	w.b = b
	w.stop = func() error {
		cancel()
		return <-ended
	}
	w.b.Advance(time.Second) // for what was due when it started
	return nil
}

func (w *world) now() time.Duration { return time.Since(w.began) + time.Duration(w.passed.Load()) }

func (w *world) note(format string, args ...any) {
	w.trace = append(w.trace, fmt.Sprintf(format, args...))
}

// uneasy tells that the disk may not know all that the broker does.
func (w *world) uneasy() bool { return w.stalled || w.failing }

// device is a client. The first half of them have their sessions on one shard, the others on the other.
func (w *world) device(name string) *device {
	d := w.devices[name]
	if d == nil {
		d = &device{w: w, name: name}
		for i := 0; d.id == "" || w.b.ShardOf(d.id) != int(name[0]-'a')/2%2; i++ {
			d.id = fmt.Sprint(name, i)
		}
		w.devices[name] = d
	}
	return d
}

// do has a step happen. One that cannot happen now is left out.
func (w *world) do(st step) error {
	w.note("%s", st)
	var d *device
	if st.who != "" {
		d = w.device(st.who)
	}
	var err error
	switch st.verb {
	case "connect":
		err = w.connect(d, st)
	case "advance":
		w.advance(time.Duration(st.n["by"]) * time.Second)
	case "restart", "crash":
		err = w.restart(st)
	case "stall", "flow", "fail", "heal":
		w.change(st)
	default:
		if d.conn != nil {
			err = w.act(d, st)
		}
	}
	if err != nil {
		return err
	}
	return w.settle(d)
}

func (w *world) act(d *device, st step) error {
	s := w.accounts[d.name]
	if w.uneasy() && s.will != nil { // nothing that the connection could end by: its will would be published
		return nil
	}
	switch st.verb {
	case "drop", "disconnect":
		return w.drop(d, s, st)
	case "subscribe":
		w.subscribe(d, s, st)
	case "unsubscribe":
		w.unsubscribe(d, s, st)
	case "publish":
		w.publish(d, s, st)
	case "ack":
		w.ack(d, s, st)
	case "release":
		w.release(d, st)
	}
	return nil
}

// settle waits until the broker has nothing more to do, and looks at what has come of it.
func (w *world) settle(actor *device) error {
	if actor != nil {
		if err := w.sync(actor, w.failing); err != nil {
			return err
		}
	}
	const turns = 12 // more than there are ways between the shards and the disk that something may go
	for range turns {
		w.b.Stats()
	}
	for _, name := range slices.Sorted(maps.Keys(w.devices)) {
		if err := w.sync(w.devices[name], w.failing && w.devices[name] == actor); err != nil {
			return err
		}
	}
	for _, s := range w.accounts {
		s.replays(w.uneasy())
	}
	if err := w.counted(); err != nil || w.uneasy() {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(w.devices)) {
		if err := w.devices[name].settle(); err != nil {
			return err
		}
		if s := w.accounts[name]; s != nil {
			if err := s.settle(w.now()); err != nil {
				return err
			}
		}
	}
	return w.checkDisk()
}

func (w *world) sync(d *device, mayEnd bool) error {
	ended, err := d.sync(mayEnd)
	if ended {
		w.lose(d)
	}
	return err
}

// lose notes that a client's connection has gone.
func (w *world) lose(d *device) {
	s := w.accounts[d.name]
	s.lose(w.now(), w.uneasy())
	if w.depart(s, false); s.expiry == 0 {
		w.end(d.name)
	}
}

// end ends a session.
func (w *world) end(name string) {
	s := w.accounts[name]
	delete(w.accounts, name)
	w.leave(s, false)
}

// vanish forgets a session of which nothing is on the disk.
func (w *world) vanish(s *account) {
	delete(w.accounts, s.name)
	s.left, s.will = true, nil
	for _, it := range s.items {
		if sh := it.share; sh != nil {
			sh.optional = true
			delete(sh.candidates, s)
		}
	}
	w.vacate()
}

// counted waits until the broker has as many sessions and subscriptions as it has to, online and offline.
func (w *world) counted() error {
	var sessions, offline, subs int64
	for _, s := range w.accounts {
		sessions++
		subs += int64(len(s.subs))
		if !s.online {
			offline++
		}
	}
	for end := time.Now().Add(w.patience); ; time.Sleep(time.Millisecond) {
		st := w.b.Stats()
		if st.Sessions == sessions && st.SessionsOffline == offline && st.Subscriptions == subs {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("the broker has %d sessions, %d of them offline, with %d subscriptions; want %d, %d, %d",
				st.Sessions, st.SessionsOffline, st.Subscriptions, sessions, offline, subs)
		}
	}
}

// checkDisk makes sure that the disk has what the sessions need, and nothing else.
func (w *world) checkDisk() error {
	var want [storage.Spaces]int
	kept := map[*attempt]bool{}
	for _, s := range w.accounts {
		if !s.exact(w.now()) {
			return nil
		}
		if !s.durable {
			continue
		}
		want[storage.SpaceSessions]++
		want[storage.SpaceSubscriptions] += len(s.subs)
		for _, it := range s.items {
			if it.state == waiting || it.state == got {
				kept[it.a.first] = true
			}
		}
	}
	want[storage.SpaceMessages] = len(kept)
	used := w.disk.used()
	used[storage.SpaceFlows] = 0 // not every session has one
	if used != want {
		return fmt.Errorf("the disk has %v values by space, want %v", used, want)
	}
	return nil
}

// wanted tells whether there may be a subscriber of a message.
func (w *world) wanted(a *attempt) bool {
	for _, s := range w.accounts {
		for filter := range s.subs {
			if covers(filter, a.topic) {
				return true
			}
		}
	}
	return false
}

// spread gives a message to every session that wants it.
func (w *world) spread(a *attempt) {
	for _, s := range w.accounts {
		s.give(a)
	}
	w.spreadShares(a)
}

// newAttempt is the first attempt at a message.
func newAttempt(a attempt) *attempt {
	p := &a
	p.first, p.given = p, map[*account][]*item{}
	return p
}

// finish lets the disk work again, has every client come back for what it is owed, and ends all sessions: then nothing
// may be left of them.
func (w *world) finish() error {
	steps := []step{{verb: "flow"}, {verb: "heal"}}
	for _, name := range slices.Sorted(maps.Keys(w.accounts)) {
		steps = append(steps, step{verb: "connect", who: name, n: map[string]int{"version": 5, "expiry": 1500}})
	}
	steps = append(steps, step{verb: "connect", who: "z", n: map[string]int{"version": 5, "clean": 1}})
	steps = append(steps, step{verb: "subscribe", who: "z", name: "#"}) // sees what is retained
	for _, st := range steps {
		if err := w.do(st); err != nil {
			return fmt.Errorf("at the end, %s: %w", st, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(w.accounts)) {
		if err := w.finishOne(name); err != nil {
			return fmt.Errorf("at the end, of %s: %w", name, err)
		}
	}
	if used := w.disk.used(); used != [storage.Spaces]int{} {
		return fmt.Errorf("at the end the disk has %v values by space, want none", used)
	}
	return nil
}

// finishOne ends a session when it is owed nothing more.
func (w *world) finishOne(name string) error {
	for s, d := w.accounts[name], w.devices[name]; len(s.items)+len(d.sent) > 0; {
		for _, verb := range []string{"ack", "release"} {
			if err := w.do(step{verb: verb, who: name}); err != nil {
				return err
			}
		}
	}
	if err := w.do(step{verb: "connect", who: name, n: map[string]int{"version": 5, "clean": 1}}); err != nil {
		return err
	}
	return w.do(step{verb: "drop", who: name})
}

// readEnd reads the last words of the broker: in MQTT 5 a DISCONNECT with a code, before that nothing.
func (d *device) readEnd(code byte) error {
	p, err := d.read()
	return d.ends(p, err, code)
}

// ends takes the last words, of which the first packet has been read.
func (d *device) ends(p *raw.Received, err error, code byte) error {
	if d.version >= raw.V5 && err == nil && p.Type == raw.DISCONNECT && p.Code == code {
		p, err = d.read()
	}
	if !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s got %v and %v at its end, want code 0x%02X", d.name, p, err, code)
	}
	d.close()
	return nil
}
