package bench

import (
	"fmt"
	"slices"
	"time"
)

// Report is the result of a run. Fields that do not apply to the scenario are absent.
type Report struct {
	Scenario    Scenario `json:"scenario"`
	Broker      string   `json:"broker"` // its URL, without the password
	Version     byte     `json:"version"`
	Clients     int      `json:"clients,omitempty"`
	Publishers  int      `json:"publishers,omitempty"`
	Subscribers int      `json:"subscribers,omitempty"`
	Topics      int      `json:"topics,omitempty"`
	QoS         byte     `json:"qos"`
	SubQoS      int      `json:"subscribe_qos"`
	Payload     int      `json:"payload_bytes,omitempty"`
	Rate        float64  `json:"rate,omitempty"`   // configured messages a second
	Window      int      `json:"window,omitempty"` // messages in flight of a publisher, in a closed loop
	Seconds     float64  `json:"seconds,omitempty"`

	Connections Connections `json:"connections"`
	Messages    *Messages   `json:"messages,omitempty"`
	Latency     *Latency    `json:"latency,omitempty"` // of deliveries, from the due time
	Acks        *Latency    `json:"acknowledged,omitempty"`
	Behind      *Latency    `json:"behind,omitempty"` // open loop: from the due time to the send, part of Latency
	Slow        *SlowReport `json:"slow,omitempty"`
	Fill        *Fill       `json:"fill,omitempty"`
	All         *Latency    `json:"all,omitempty"`            // until a client had all messages
	Cycles      float64     `json:"cycles_per_s,omitempty"`   // churn
	Rounds      []float64   `json:"rounds_seconds,omitempty"` // storm: until the last client was connected

	Process   *Process `json:"broker_process,omitempty"`
	Held      *Process `json:"while_held,omitempty"` // conns: while idle
	Generator float64  `json:"generator_cpu"`        // processors used by the bench itself

	Interrupted bool     `json:"interrupted,omitempty"` // the run was ended early
	Notes       []string `json:"notes,omitempty"`       // problems, each once

	strictQoS bool // both QoS are above 0, so that losses are failures
	exactQoS  bool // duplicates are failures
	dropped   bool // the broker was expected to drop all clients
}

// Connections describes the connections of a run.
type Connections struct {
	Opened    uint64   `json:"opened"`
	Failed    uint64   `json:"failed"`
	Lost      uint64   `json:"lost"`
	PerSecond float64  `json:"per_s"`
	Connack   *Latency `json:"connack,omitempty"` // from the dial
	Ready     *Latency `json:"ready,omitempty"`   // from the dial, with the subscription
}

// Messages are the counts of all messages of a run.
type Messages struct {
	Sent           uint64 `json:"sent"`
	Expected       uint64 `json:"expected"` // deliveries
	Received       uint64 `json:"received"` // without duplicates
	Lost           uint64 `json:"lost"`
	Duplicated     uint64 `json:"duplicated"`
	Reordered      uint64 `json:"reordered"`
	Misrouted      uint64 `json:"misrouted"`
	Corrupted      uint64 `json:"corrupted"`
	Foreign        uint64 `json:"foreign"` // of another run
	Rejected       uint64 `json:"rejected"`
	Unacknowledged uint64 `json:"unacknowledged"`
	Unsent         uint64 `json:"unsent"` // open loop: due, but not accepted by the broker
	GivenUp        uint64 `json:"given_up"`

	SentPerSecond     float64 `json:"sent_per_s"`     // within the measured time
	ReceivedPerSecond float64 `json:"received_per_s"` // within the measured time
}

// SlowReport describes the slow subscribers, which are not part of Messages and Latency.
type SlowReport struct {
	Subscribers    int      `json:"subscribers"`
	BytesPerSecond int      `json:"bytes_per_s"`  // read by each
	Buffer         int      `json:"buffer_bytes"` // configured receive buffer of each
	Received       uint64   `json:"received"`
	Skipped        uint64   `json:"skipped"`                       // missing messages of a topic before a received one
	Age            *Latency `json:"age"`                           // of messages read within the measured time: from the due time
	Calm           *Latency `json:"calm"`                          // deliveries to the others before the slow ones connected
	Memory         uint64   `json:"memory_before_bytes,omitempty"` // of the broker before they connected
}

// Fill describes the storing of retained messages.
type Fill struct {
	Messages int     `json:"messages"`
	Seconds  float64 `json:"seconds"`
	Memory   uint64  `json:"memory_bytes,omitempty"` // growth of the broker
}

// Process describes the broker's process while the run was measured.
type Process struct {
	PID         int     `json:"pid"`
	CPU         float64 `json:"cpu"`                       // processors busy
	PerMessage  float64 `json:"cpu_us_per_delivery"`       // microseconds
	Idle        uint64  `json:"memory_before_bytes"`       // before the first connection
	After       uint64  `json:"memory_bytes"`              //
	Peak        uint64  `json:"memory_peak_bytes"`         //
	PerConnect  float64 `json:"bytes_per_connection"`      // of After
	ConnectCost float64 `json:"cpu_us_per_connection"`     // microseconds
	Seconds     float64 `json:"measured_seconds,omitzero"` // basis of CPU
}

func newReport(o *Options) *Report {
	r := &Report{
		Scenario: o.Scenario, Broker: o.URL.Redacted(), Version: o.Version, Clients: o.Clients, Publishers: o.Publishers,
		Subscribers: o.Subscribers, Topics: o.Topics, QoS: o.QoS, SubQoS: o.SubscribeQoS, Rate: o.Rate, dropped: o.Dropped,
	}
	if o.messages() || o.Scenario == Retained {
		r.Payload = o.Payload
	}
	if o.messages() {
		r.Window, r.Seconds = int(newPlan(o).window), o.Duration.Seconds()
		r.strictQoS = min(int(o.QoS), o.SubscribeQoS) > 0
		r.exactQoS = min(int(o.QoS), o.SubscribeQoS) != 1
	}
	if o.Scenario == Slow {
		r.Slow = &SlowReport{Subscribers: o.Slow, BytesPerSecond: o.SlowRate, Buffer: o.SlowBuffer}
		r.strictQoS = true // of the quick subscribers
	}
	if o.Scenario == Churn {
		r.Seconds = o.Duration.Seconds()
	}
	return r
}

// measured records the measured time.
func (p *Report) measured(f *flow) {
	p.Seconds = time.Duration(f.till.Load() - f.from.Load()).Seconds()
}

// connecting records the connections, when all are made.
func (p *Report) connecting(r *runner) {
	p.Process = r.meter.process()
	if p.Process != nil {
		p.Process.ConnectCost = perOne(r.meter.brokerUsed, r.exactTotals().opened)
	}
}

func (p *Report) holding(r *runner) { p.Held = r.meter.process() }

func (p *Report) churning(r *runner) {
	n := r.exactTotals()
	p.Cycles = float64(n.done) / r.meter.took.Seconds()
	if p.Process = r.meter.process(); p.Process != nil {
		p.Process.ConnectCost = perOne(r.meter.brokerUsed, n.done)
	}
}

func (p *Report) replaying(r *runner, want uint64) {
	n := r.exactTotals()
	p.Seconds = r.meter.took.Seconds()
	p.Messages = countsOf(n, r.meter.took)
	p.Messages.Expected, p.Messages.Lost = want, want-min(n.received, want)
	p.Messages.ReceivedPerSecond = float64(n.received) / p.Seconds
	p.strictQoS, p.exactQoS = true, true // nothing that could have been dropped was published
	if p.Process = r.meter.process(); p.Process != nil {
		p.Process.PerMessage = perOne(r.meter.brokerUsed, n.received)
	}
}

// finish adds the values known at the end.
func (p *Report) finish(r *runner) {
	var n counters
	for _, w := range r.workers {
		n.add(w.n)
		for text := range w.noted {
			p.Notes = append(p.Notes, text)
		}
	}
	slices.Sort(p.Notes)
	p.Notes = slices.Compact(p.Notes)
	p.Connections = Connections{Opened: n.opened, Failed: n.failed, Lost: n.lost}
	if took := time.Duration(n.lastUp - n.firstDial); took > 0 && p.Scenario != Churn && p.Scenario != Retained {
		p.Connections.PerSecond = float64(n.opened) / took.Seconds()
	}
	p.Connections.Connack = r.merged(func(w *worker) *histogram { return &w.connects })
	p.Connections.Ready = r.merged(func(w *worker) *histogram { return &w.ready })
	p.Latency = r.merged(func(w *worker) *histogram { return &w.latency })
	p.Acks = r.merged(func(w *worker) *histogram { return &w.acks })
	p.Behind = r.merged(func(w *worker) *histogram { return &w.behind })
	p.All = r.merged(func(w *worker) *histogram { return &w.everything })
	if p.Slow != nil {
		p.Slow.Received, p.Slow.Skipped = n.slowReceived, n.skipped
		p.Slow.Age = r.merged(func(w *worker) *histogram { return &w.age })
		p.Slow.Calm = r.merged(func(w *worker) *histogram { return &w.calm })
	}
	p.Generator = r.meter.using.Seconds() / r.meter.took.Seconds()
	if r.opts.messages() {
		p.messages(r, n)
	}
	if p.Process == nil {
		p.Process = r.meter.process()
	}
	if p.Process != nil && p.Scenario == Conns {
		p.Process.After, p.Process.Peak = r.meter.after, r.meter.peak
		p.Process.PerConnect = float64(r.meter.after-min(r.meter.after, r.meter.idle)) / float64(max(n.opened, 1))
	}
}

func (p *Report) messages(r *runner, n counters) {
	n.unacknowledged = 0
	if r.opts.QoS > 0 {
		n.unacknowledged = n.sent - min(n.sent, n.acknowledged)
	}
	p.Messages = countsOf(n, time.Duration(p.Seconds*float64(time.Second)))
	if p.Process = r.meter.process(); p.Process != nil {
		p.Process.PerMessage = perOne(r.meter.brokerUsed, n.arrived)
	}
}

func countsOf(n counters, measured time.Duration) *Messages {
	return &Messages{
		Sent: n.sent, Expected: n.expected, Received: n.received, Lost: n.expected - min(n.expected, n.received),
		Duplicated: n.duplicated, Reordered: n.reordered, Misrouted: n.misrouted, Corrupted: n.corrupted, Foreign: n.foreign,
		Rejected: n.rejected, Unacknowledged: n.unacknowledged, Unsent: n.unsent, GivenUp: n.stalls,
		SentPerSecond:     float64(n.sentWithin) / measured.Seconds(),
		ReceivedPerSecond: float64(n.arrived) / measured.Seconds(),
	}
}

// process returns nil if the broker's process is not measured.
func (m *meter) process() *Process {
	if m.pid == 0 {
		return nil
	}
	return &Process{
		PID: m.pid, CPU: m.brokerUsed.Seconds() / m.took.Seconds(), Seconds: m.took.Seconds(),
		Idle: m.idle, After: m.after, Peak: m.peak,
	}
}

// perOne returns microseconds of processor time for each of n.
func perOne(used time.Duration, n uint64) float64 {
	if n == 0 {
		return 0
	}
	return float64(used) / float64(time.Microsecond) / float64(n)
}

// Failures lists a broker's failures. Messages lost at QoS 0 are among them only if strict: a broker may drop them,
// though it has no reason to without overload.
func (p *Report) Failures(strict bool) (failures []string) {
	say := func(n uint64, what string) {
		if n > 0 {
			failures = append(failures, fmt.Sprintf("%d %s", n, what))
		}
	}
	if p.Scenario != Storm {
		say(p.Connections.Failed, "connections could not be made")
	}
	if !p.dropped {
		say(p.Connections.Lost, "connections were lost")
	}
	m := p.Messages
	if m == nil {
		return failures
	}
	if p.strictQoS || strict {
		say(m.Lost, "messages were lost")
	}
	if p.exactQoS {
		say(m.Duplicated, "messages were duplicated")
	}
	say(m.Reordered, "messages arrived out of order")
	say(m.Misrouted, "messages arrived at the wrong subscriber")
	say(m.Corrupted, "messages arrived with a changed payload")
	say(m.Rejected, "messages were rejected")
	say(m.Unacknowledged, "messages were not acknowledged")
	return failures
}
