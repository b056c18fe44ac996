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

// Scenario is a kind of load.
type Scenario string

// The scenarios.
const (
	Conns    Scenario = "conns"    // many idle connections
	Fanout   Scenario = "fanout"   // few publishers, many subscribers
	Fanin    Scenario = "fanin"    // many publishers, few subscribers of everything
	Pairs    Scenario = "pairs"    // publishers with one subscriber each
	Retained Scenario = "retained" // many retained messages, and subscribers that request all at once
	Storm    Scenario = "storm"    // all clients connect and subscribe at once
	Slow     Scenario = "slow"     // many subscribers of tickers, some of which read slowly
	Churn    Scenario = "churn"    // connect, subscribe, disconnect, repeatedly
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

// Options configure a run of the bench. Zero values mean the default in the comment.
type Options struct {
	Scenario Scenario

	// The broker and the credentials.
	URL       *url.URL      // mqtt, tcp, mqtts, ssl, tls, ws, wss or unix; with a port
	TLS       *tls.Config   // nil: the system's certificate authorities
	Version   byte          // 4 (MQTT 3.1.1) or 5; default 5
	Dialect   Dialect       // default MQTT
	User      string        // of every client
	Password  []byte        // of every client
	Prefix    string        // of client identifiers and topics; default bench- and something random, slow: ticker/ before that
	KeepAlive time.Duration // whole seconds; 0: none
	PID       int           // of the broker's process; 0: not measured

	// The clients.
	Clients     int  // conns, pairs, storm, churn: default 1,000, pairs 50
	Publishers  int  // fanout, retained, slow: default 1; fanin: 100
	Subscribers int  // fanout, slow: default 1,000; fanin, retained: 1
	Topics      int  // fanout: default 1; fanin: one per publisher; retained: 10,000; slow: 500
	Subscribe   bool // conns: each has a subscription of its own
	Wildcard    bool // fanout: subscribe to PREFIX/# instead of one topic
	Shared      bool // fanin: the subscribers share one subscription, $share/bench/PREFIX/#
	Slow        int  // slow: number of slow subscribers; default one in twenty
	SlowRate    int  // slow: bytes a second that each of these reads; default 7,000, a modem's 56 kbit/s
	SlowBuffer  int  // slow: kernel's receive buffer of each of these in bytes, as on a slow line; default 4 KiB

	// The messages.
	QoS          byte
	SubscribeQoS int           // default -1: as QoS
	Payload      int           // bytes, at least 16; default 64
	Rate         float64       // messages a second of all publishers together; 0: as fast as they are delivered (closed loop)
	Window       int           // closed loop: messages in flight of one publisher; default up to 1,000
	InFlight     int           // QoS 1 and 2: unacknowledged messages of one publisher; default 1,000
	Check        bool          // compare every topic and every byte of every payload
	Warmup       time.Duration // before the measurement; default none
	Duration     time.Duration // of the measurement; default 10 s
	Drain        time.Duration // afterwards, wait until no message has come for so long; default 5 s
	Stall        time.Duration // closed loop: messages in flight are lost if none has come for so long; default 10 s

	// The connections.
	ConnectRate float64       // a second; 0: no limit
	Pending     int           // concurrent attempts to connect; default 64, in a storm all
	Rounds      int           // storm: number of storms; default 1
	Reconnect   bool          // storm: connect all clients first, then close all connections without DISCONNECT and reconnect
	Dropped     bool          // storm: the same, but wait for the broker to drop them, such as by its restart
	Retry       time.Duration // storm: pause after a refused connection; default 100 ms
	Hold        time.Duration // conns: time to hold connections; storm: time between storms
	Keep        bool          // retained: leave the messages on the broker

	// The run.
	Threads  int            // workers; default 1
	Progress func(Progress) // called about once a second; may be nil
}

// Progress is the state of a run.
type Progress struct {
	Phase     string
	Connected int
	Sent      uint64
	Received  uint64
	Rate      float64 // messages received a second, or connections made, since the last report
}

// withDefaults sets the defaults and checks everything; its error lists all problems.
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
	o.setClientDefaults()
	return o, o.check()
}

// setClientDefaults sets the defaults for the numbers of clients.
func (o *Options) setClientDefaults() {
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
		return fmt.Errorf("prefix %q: want at most 1000 bytes without + and #, as topics begin with it", o.Prefix)
	}
	return o.checkDialect()
}

// messages reports whether publishers and subscribers exchange numbered messages.
func (o *Options) messages() bool {
	return o.Scenario == Fanout || o.Scenario == Fanin || o.Scenario == Pairs || o.Scenario == Slow
}

// fastSubscribers returns the number of subscribers that are not slow.
func (o *Options) fastSubscribers() int { return o.Subscribers - o.Slow }

func (o *Options) webSocket() bool { return o.URL.Scheme == "ws" || o.URL.Scheme == "wss" }

// subprotocol returns the WebSocket subprotocol, "" for none.
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
