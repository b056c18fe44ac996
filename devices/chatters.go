package devices

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/eclipse/paho.golang/paho"
)

// ChattersOptions configure Chatters.
type ChattersOptions struct {
	Options
	Count int      // people; 0: 5
	Rooms []string // assigned in turn; nil: lobby
	Rate  float64  // sentences a second in total; 0: one every ten seconds for each person
	Seed  uint64
}

// Chatters simulate people in chat rooms. Each is a client and a user of its own, in one room, because a client has
// only one will. It subscribes to chat/{room}/say and publishes {"id","from","text","at"} there. While it is
// connected, chat/{room}/here/{client} is retained: {"user","since"}. Times are in milliseconds of Unix time.
// Sometimes it answers another person.
type Chatters struct {
	*base
	opts ChattersOptions
}

// NewChatters returns Chatters with validated options.
func NewChatters(opts ChattersOptions) (*Chatters, error) {
	opts.Count = cmp.Or(opts.Count, 5)
	opts.Rate = cmp.Or(opts.Rate, 0.1*float64(opts.Count))
	if len(opts.Rooms) == 0 {
		opts.Rooms = []string{"lobby"}
	}
	for _, room := range opts.Rooms {
		if room == "" || strings.ContainsAny(room, "/+#\x00") {
			return nil, fmt.Errorf("room %q: a room's name is not empty and has no / + or #", room)
		}
	}
	if err := cmp.Or(checkCount("chatters", opts.Count, maxDevices), checkRate(opts.Rate)); err != nil {
		return nil, err
	}
	b, err := newBase(opts.Options, "chatter")
	if err != nil {
		return nil, err
	}
	return &Chatters{base: b, opts: opts}, nil
}

// Stats returns the counters.
func (c *Chatters) Stats() Stats { return c.counters.stats(c.opts.Count) }

// Run chats until ctx ends.
func (c *Chatters) Run(ctx context.Context) error {
	each(c.opts.Count, func(i int) { c.run(ctx, i) })
	return nil
}

// chatter is one simulated person.
type chatter struct {
	*device
	name   string
	room   string
	here   string // the topic of its presence
	since  time.Time
	talk   *speech
	others chan string // names of the latest speakers
}

func (c *Chatters) run(ctx context.Context, i int) {
	name := personName(i)
	id := c.base.opts.Prefix + strings.ToLower(name)
	room := c.opts.Rooms[i%len(c.opts.Rooms)]
	rng := rand.New(rand.NewPCG(c.opts.Seed, uint64(i)+5))
	p := &chatter{
		name: name, room: room, here: "chat/" + room + "/here/" + id,
		since: time.Now(), talk: &speech{rng: rng}, others: make(chan string, 1),
	}
	d, err := c.connect(ctx, id, c.user(strings.ToLower(name)), spec{
		will:      &paho.WillMessage{Topic: p.here, QoS: 1, Retain: true},
		onUp:      p.arrive,
		onMessage: p.recordSpeaker,
	})
	if err != nil {
		c.log.Error("chatter cannot start", "client", id, "error", err)
		return
	}
	p.device = d
	defer d.leave(&paho.Publish{Topic: p.here, QoS: 1, Retain: true})
	p.chat(ctx, c.opts.Rate/float64(c.opts.Count))
}

// arrive subscribes and publishes presence, after each connect.
func (p *chatter) arrive(ctx context.Context, d *device) {
	d.subscribe(ctx, "chat/"+p.room+"/say")
	d.publish(ctx, &paho.Publish{Topic: p.here, QoS: 1, Retain: true, Payload: mustJSON(presence{p.name, p.since.UnixMilli()})})
}

// presence is the payload of a presence topic.
type presence struct {
	User  string `json:"user"`
	Since int64  `json:"since"` // milliseconds of Unix time
}

// sentence is the payload of a sentence.
type sentence struct {
	ID   string `json:"id"`
	From string `json:"from"`
	Text string `json:"text"`
	At   int64  `json:"at"` // milliseconds of Unix time
}

// recordSpeaker records the sender of a message.
func (p *chatter) recordSpeaker(m *paho.Publish) {
	var s sentence
	if json.Unmarshal(m.Payload, &s) != nil || s.From == "" {
		return
	}
	select {
	case <-p.others:
	default:
	}
	select {
	case p.others <- s.From:
	default:
	}
}

// chat publishes sentences at random intervals, at a mean rate a second.
func (p *chatter) chat(ctx context.Context, rate float64) {
	for pause(ctx, time.Duration(p.talk.rng.ExpFloat64()/rate*float64(time.Second))) {
		other := ""
		select {
		case other = <-p.others:
		default:
		}
		p.publish(ctx, &paho.Publish{Topic: "chat/" + p.room + "/say", QoS: 1, Payload: mustJSON(sentence{
			ID: strconv.FormatUint(rand.Uint64(), 36), From: p.name, Text: p.talk.sentence(other), At: time.Now().UnixMilli(),
		})})
	}
}

// mustJSON encodes one of the structs above, which cannot fail.
func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}
