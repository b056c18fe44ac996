package bench

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Scenario is what is done to the broker.
type Scenario string

// The scenarios.
const (
	Conns    Scenario = "conns"    // many connections that do nothing
	Fanout   Scenario = "fanout"   // few publishers, many subscribers
	Fanin    Scenario = "fanin"    // many publishers, few subscribers of everything
	Pairs    Scenario = "pairs"    // publishers with one subscriber each
	Retained Scenario = "retained" // many retained messages, and subscribers who want all of them at once
	Storm    Scenario = "storm"    // everybody connects and subscribes at once
	Slow     Scenario = "slow"     // many subscribers of tickers, some of whom read slowly
	Churn    Scenario = "churn"    // connect, subscribe, disconnect, over and over
)

// Limits of Options.
const (
	maxClients  = 4_000_000
	maxTopics   = 10_000_000
	maxStreams  = 1_000_000
	maxPayload  = 256<<20 - 1<<16
	maxInFlight = 32_767
	maxThreads  = 64
)

// Options are a run of the bench. Zero values are replaced by the defaults that are named here.
type Options struct {
	Scenario Scenario

	// The broker, and how to come in.
	URL       *url.URL      // mqtt, tcp, mqtts, ssl, tls, ws, wss or unix; with a port
	TLS       *tls.Config   // nil: the system's certificate authorities
	Version   byte          // 4 (MQTT 3.1.1) or 5; default 5
	Dialect   Dialect       // default MQTT
	User      string        // of every client
	Password  []byte        // of every client
	Prefix    string        // of client identifiers and topics; default bench- and something random, slow: ticker/ before that
	KeepAlive time.Duration // whole seconds; 0: none
	PID       int           // the broker's process, to measure; 0: not measured

	// Who there is.
	Clients     int  // conns, pairs, storm, churn: default 1,000, pairs 50
	Publishers  int  // fanout, retained, slow: default 1; fanin: 100
	Subscribers int  // fanout, slow: default 1,000; fanin, retained: 1
	Topics      int  // fanout: default 1; fanin: one per publisher; retained: 10,000; slow: 500
	Subscribe   bool // conns: each has a subscription of its own
	Wildcard    bool // fanout: everybody subscribes to PREFIX/# instead of one topic
	Shared      bool // fanin: the subscribers share one subscription, $share/bench/PREFIX/#
	Slow        int  // slow: how many of the subscribers are slow; default one in twenty
	SlowRate    int  // slow: bytes a second that each of these reads; default 7,000, a modem's 56 kbit/s
	SlowBuffer  int  // slow: bytes that the kernel may keep of what was sent to one of these, as on a slow line; default 4 KiB

	// What is sent.
	QoS          byte
	SubscribeQoS int           // default -1: as QoS
	Payload      int           // bytes, at least 16; default 64
	Rate         float64       // messages a second of all publishers together; 0: as fast as they are delivered (closed loop)
	Window       int           // closed loop: messages of one publisher under way; default up to 1,000
	InFlight     int           // QoS 1 and 2: unacknowledged messages of one publisher; default 1,000
	Check        bool          // compare every topic and every byte of every payload
	Warmup       time.Duration // before the measuring; default none
	Duration     time.Duration // of the measuring; default 10 s
	Drain        time.Duration // afterwards, wait until nothing has come for so long; default 5 s
	Stall        time.Duration // closed loop: take as lost what has not come for so long; default 10 s

	// How connections are made.
	ConnectRate float64       // a second; 0: no limit
	Pending     int           // being made at a time; default 64, in a storm all
	Rounds      int           // storm: how often; default 1
	Reconnect   bool          // storm: everybody is connected first; then all are cut off at once, without a word, and come back
	Dropped     bool          // storm: the same, but it is the broker that drops them, as when it is restarted: that is waited for
	Retry       time.Duration // storm: who is not let in tries again after so long; default 100 ms
	Hold        time.Duration // conns: hold them for so long; storm: the time between storms
	Keep        bool          // retained: leave the messages with the broker

	// How it runs.
	Threads  int            // workers; default 1
	Progress func(Progress) // called about once a second; may be nil
}

// Progress is how far a run has come.
type Progress struct {
	Phase     string
	Connected int
	Sent      uint64
	Received  uint64
	Rate      float64 // messages received a second, or connections made, since the last report
}

// withDefaults fills in what is zero and checks everything, all problems at once.
func (o Options) withDefaults() (Options, error) {
	o.Version = cmp.Or(o.Version, 5)
	o.Payload = cmp.Or(o.Payload, 64)
	o.InFlight = cmp.Or(o.InFlight, 1000)
	o.Duration = cmp.Or(o.Duration, 10*time.Second)
	o.Drain = cmp.Or(o.Drain, 5*time.Second)
	o.Stall = cmp.Or(o.Stall, 10*time.Second)
	o.Threads = cmp.Or(o.Threads, 1)
	o.Rounds = cmp.Or(o.Rounds, 1)
	o.Retry = cmp.Or(o.Retry, 100*time.Millisecond)
	if o.SubscribeQoS < 0 {
		o.SubscribeQoS = int(o.QoS)
	}
	o.people()
	return o, o.check()
}

// people fills in how many there are of whom.
func (o *Options) people() {
	switch o.Scenario {
	case Fanout:
		o.Publishers, o.Subscribers, o.Topics = cmp.Or(o.Publishers, 1), cmp.Or(o.Subscribers, 1000), cmp.Or(o.Topics, 1)
	case Fanin:
		o.Publishers, o.Subscribers = cmp.Or(o.Publishers, 100), cmp.Or(o.Subscribers, 1)
		o.Topics = cmp.Or(o.Topics, o.Publishers)
		o.Wildcard = true
	case Pairs:
		o.Clients = cmp.Or(o.Clients, 50)
		o.Publishers, o.Subscribers, o.Topics = o.Clients, o.Clients, o.Clients
	case Retained:
		o.Publishers, o.Subscribers, o.Topics = cmp.Or(o.Publishers, 1), cmp.Or(o.Subscribers, 1), cmp.Or(o.Topics, 10_000)
	case Slow:
		o.Publishers, o.Subscribers, o.Topics = cmp.Or(o.Publishers, 1), cmp.Or(o.Subscribers, 1000), cmp.Or(o.Topics, 500)
		o.Slow = cmp.Or(o.Slow, max(o.Subscribers/20, 1))
		o.SlowRate, o.SlowBuffer = cmp.Or(o.SlowRate, 7000), cmp.Or(o.SlowBuffer, 4<<10)
		o.Rate = cmp.Or(o.Rate, 1000)
		o.Wildcard = true
	default:
		o.Clients = cmp.Or(o.Clients, 1000)
	}
	o.Pending = cmp.Or(o.Pending, 64)
}

func (o *Options) check() error {
	var problems []error
	want := func(name string, value, least, most int) {
		if value < least || value > most {
			problems = append(problems, fmt.Errorf("%s %d: want %d to %d", name, value, least, most))
		}
	}
	want("clients", o.Clients, 0, maxClients)
	want("publishers", o.Publishers, 0, maxClients)
	want("subscribers", o.Subscribers, 0, maxClients)
	want("topics", o.Topics, 0, maxTopics)
	want("slow subscribers", o.Slow, 0, o.Subscribers)
	want("bytes a second", o.SlowRate, 0, 1<<30)
	want("bytes of buffer", o.SlowBuffer, 0, 1<<30)
	want("QoS", int(o.QoS), 0, 2)
	want("subscribers' QoS", o.SubscribeQoS, 0, 2)
	want("payload bytes", o.Payload, headerSize, maxPayload)
	want("in-flight", o.InFlight, 1, maxInFlight)
	want("window", o.Window, 0, 1_000_000)
	want("threads", o.Threads, 1, maxThreads)
	want("pending", o.Pending, 1, maxClients)
	want("rounds", o.Rounds, 1, 1_000_000)
	want("keep-alive seconds", int(o.KeepAlive/time.Second), 0, 65535)
	if o.messages() {
		want("streams (publishers or topics)", max(o.Publishers, o.Topics), 1, maxStreams)
	}
	return errors.Join(append(problems, o.checkRest())...)
}

func (o *Options) checkRest() error {
	switch {
	case o.URL == nil:
		return errors.New("no broker's URL")
	case o.Version != 4 && o.Version != 5:
		return fmt.Errorf("protocol version %d: the bench speaks MQTT 3.1.1 (4) and 5", o.Version)
	case o.Version == 4 && len(o.Password) > 0 && o.User == "":
		return errors.New("MQTT 3.1.1 has no password without a user name; give one, or use MQTT 5")
	case o.Rate < 0 || o.ConnectRate < 0:
		return errors.New("a rate is negative")
	case o.Duration < 0 || o.Warmup < 0 || o.Drain < 0 || o.Hold < 0 || o.Stall < 0 || o.Retry < 0:
		return errors.New("a time is negative")
	case strings.ContainsAny(o.Prefix, "+#\x00") || len(o.Prefix) > 1000:
		return fmt.Errorf("prefix %q: it begins topics, so it has no + and no #, and at most 1000 bytes", o.Prefix)
	}
	return o.checkDialect()
}

// messages tells whether the scenario is one in which publishers and subscribers exchange numbered messages.
func (o *Options) messages() bool {
	return o.Scenario == Fanout || o.Scenario == Fanin || o.Scenario == Pairs || o.Scenario == Slow
}

// quick is how many subscribers read all that they are sent.
func (o *Options) quick() int { return o.Subscribers - o.Slow }

func (o *Options) webSocket() bool { return o.URL.Scheme == "ws" || o.URL.Scheme == "wss" }

// subprotocol is that of the WebSocket, "" if there is none.
func (o *Options) subprotocol() string {
	if o.Dialect == MQTT {
		return "mqtt"
	}
	return ""
}

func (o *Options) secure() bool {
	switch o.URL.Scheme {
	case "mqtts", "ssl", "tls", "wss":
		return true
	}
	return false
}
