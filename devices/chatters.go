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

// ChattersOptions say who chats, and where.
type ChattersOptions struct {
	Options
	Count int      // people; 0: 5
	Rooms []string // dealt out in turn; nil: lobby
	Rate  float64  // sentences a second, of all people together; 0: one each ten seconds for each of them
	Seed  uint64
}

// Chatters are people who chat: each a client and a user of its own, in one room, because a client has only one will to
// take its leave. It listens to chat/{room}/say and says {"id","from","text","at"} there; chat/{room}/here/{client} is
// retained, {"user","since"}, while it is there. Times are in milliseconds of Unix time. Sometimes it answers another.
type Chatters struct {
	*base
	opts ChattersOptions
}

// NewChatters makes Chatters.
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

// Stats tells what the chatters have done so far.
func (c *Chatters) Stats() Stats { return c.counters.stats(c.opts.Count) }

// Run lets them chat until ctx ends.
func (c *Chatters) Run(ctx context.Context) error {
	each(c.opts.Count, func(i int) { c.run(ctx, i) })
	return nil
}

// chatter is one of them.
type chatter struct {
	*device
	name   string
	room   string
	here   string // the topic of its presence
	since  time.Time
	talk   *talk
	others chan string // who spoke last
}

func (c *Chatters) run(ctx context.Context, i int) {
	name := personName(i)
	id := c.base.opts.Prefix + strings.ToLower(name)
	room := c.opts.Rooms[i%len(c.opts.Rooms)]
	rng := rand.New(rand.NewPCG(c.opts.Seed, uint64(i)+5))
	p := &chatter{
		name: name, room: room, here: "chat/" + room + "/here/" + id,
		since: time.Now(), talk: &talk{rng: rng}, others: make(chan string, 1),
	}
	d, err := c.connect(ctx, id, c.user(strings.ToLower(name)), spec{
		will:      &paho.WillMessage{Topic: p.here, QoS: 1, Retain: true},
		onUp:      p.arrive,
		onMessage: p.hear,
	})
	if err != nil {
		c.log.Error("chatter cannot start", "client", id, "error", err)
		return
	}
	p.device = d
	defer d.leave(&paho.Publish{Topic: p.here, QoS: 1, Retain: true})
	p.chat(ctx, c.opts.Rate/float64(c.opts.Count))
}

// arrive joins the room, after each connect.
func (p *chatter) arrive(ctx context.Context, d *device) {
	d.subscribe(ctx, "chat/"+p.room+"/say")
	d.publish(ctx, &paho.Publish{Topic: p.here, QoS: 1, Retain: true, Payload: mustJSON(presence{p.name, p.since.UnixMilli()})})
}

// presence is the payload of a presence topic.
type presence struct {
	User  string `json:"user"`
	Since int64  `json:"since"` // milliseconds of Unix time
}

// saying is the payload of what is said.
type saying struct {
	ID   string `json:"id"`
	From string `json:"from"`
	Text string `json:"text"`
	At   int64  `json:"at"` // milliseconds of Unix time
}

// hear remembers who spoke last.
func (p *chatter) hear(m *paho.Publish) {
	var s saying
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

// chat says something again and again, at random moments with a mean rate a second.
func (p *chatter) chat(ctx context.Context, rate float64) {
	for pause(ctx, time.Duration(p.talk.rng.ExpFloat64()/rate*float64(time.Second))) {
		other := ""
		select {
		case other = <-p.others:
		default:
		}
		p.publish(ctx, &paho.Publish{Topic: "chat/" + p.room + "/say", QoS: 1, Payload: mustJSON(saying{
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
