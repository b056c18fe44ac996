package bench

import (
	"math"
	"strconv"
)

// plan assigns streams to publishers and topics, and topics to subscribers. It does not change during a run.
//
// There are as many streams as publishers or topics, whichever is more: stream s is of publisher s mod P and topic s
// mod T. A publisher sends to its streams in turn.
type plan struct {
	opts    *Options
	topics  [][]byte
	streams []stream
	fan     []uint32 // deliveries of one message, by topic
	window  uint32   // closed loop: messages in flight of a publisher; 0: open loop
	ring    uint32   // slots for them, a power of two; 0: open loop
}

type stream struct {
	topic     uint32
	nth       uint32 // index among the streams of its topic
	publisher uint32
	place     uint32 // index among its publisher's streams
	count     uint32 // number of its publisher's streams
}

// maxDeliveriesInFlight bounds the deliveries in flight of a closed loop by default.
const maxDeliveriesInFlight = 200_000

func newPlan(o *Options) *plan {
	p := &plan{opts: o, topics: make([][]byte, o.Topics), fan: make([]uint32, o.Topics)}
	for t := range p.topics {
		p.topics[t] = o.appendTopic(nil, t)
	}
	for s := range max(o.Publishers, o.Topics) {
		publisher := s % o.Publishers
		p.streams = append(p.streams, stream{
			topic: uint32(s % o.Topics), nth: uint32(s / o.Topics), publisher: uint32(publisher), place: uint32(s / o.Publishers), count: p.streamsOf(publisher),
		})
	}
	for t := range p.fan {
		p.fan[t] = p.share(t, 0, 1)
	}
	p.closeLoop()
	return p
}

// appendTopic appends the name of the t-th topic.
func (o *Options) appendTopic(b []byte, t int) []byte {
	return strconv.AppendInt(append(append(b, o.Prefix...), '/'), int64(t), 10)
}

func (p *plan) streamsOf(publisher int) uint32 {
	all := max(p.opts.Publishers, p.opts.Topics)
	return uint32((all - publisher + p.opts.Publishers - 1) / p.opts.Publishers)
}

// share returns the number of a message's deliveries, to topic t, that one worker's subscribers get.
func (p *plan) share(t, worker, workers int) (n uint32) {
	o := p.opts
	switch {
	case o.Shared && worker > 0:
		return 0
	case o.Shared:
		return 1
	case o.Wildcard:
		return uint32((o.fastSubscribers() - worker + workers - 1) / workers)
	}
	for s := t; s < o.Subscribers; s += o.Topics {
		if s%workers == worker {
			n++
		}
	}
	return n
}

// filter returns the filter of the i-th subscriber and its topic, -1 for all topics.
func (p *plan) filter(i int) (filter string, topic int) {
	switch {
	case p.opts.Shared:
		return "$share/bench/" + p.opts.Prefix + "/#", -1
	case p.opts.Wildcard:
		return p.opts.Prefix + "/#", -1
	}
	topic = i % p.opts.Topics
	return string(p.topics[topic]), topic
}

// trackers returns the number of streams that a subscriber of one topic, or of all, tracks.
func (p *plan) trackers(topic int) int {
	if topic < 0 {
		return len(p.streams)
	}
	return (len(p.streams) - topic + p.opts.Topics - 1) / p.opts.Topics
}

// averageFan returns the average number of deliveries of a message.
func (p *plan) averageFan() float64 {
	sum := 0.0
	for _, s := range p.streams {
		sum += float64(p.fan[s.topic])
	}
	return sum / float64(len(p.streams))
}

// closeLoop computes the window of each publisher.
func (p *plan) closeLoop() {
	fan := p.averageFan()
	if p.opts.Rate > 0 && p.opts.Window == 0 || fan == 0 {
		return
	}
	p.window = uint32(p.opts.Window)
	if p.window == 0 {
		p.window = uint32(min(max(maxDeliveriesInFlight/(float64(p.opts.Publishers)*fan), 1), 1000))
	}
	p.ring = 1
	for p.ring < p.window {
		p.ring *= 2
	}
}

// inFlight returns the maximum number of deliveries in flight in a closed loop.
func (p *plan) inFlight() float64 {
	if p.window == 0 {
		return math.Inf(1)
	}
	window := float64(p.window)
	if p.opts.QoS > 0 {
		window = min(window, float64(p.opts.InFlight))
	}
	return window * float64(p.opts.Publishers) * p.averageFan()
}
