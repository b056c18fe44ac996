package devices

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/eclipse/paho.golang/paho"
)

// SensorsOptions configure Sensors.
type SensorsOptions struct {
	Options
	Count       int     // devices; 0: 10
	Rate        float64 // readings a second in total; 0: two for each device every ten seconds
	ConnectRate float64 // new connections a second; 0: 200
	Seed        uint64
}

// Sensors simulate thermometers and hygrometers. Each is a client of its own, named by Prefix and its number, also as
// user. It sends {"v":21.3,"t":1767225600000} to sensors/{id}/temperature (in °C) and sensors/{id}/humidity (in
// percent) at QoS 1. sensors/{id}/status is retained: "online" while it is connected, "offline" by its will.
type Sensors struct {
	*base
	opts SensorsOptions
}

// NewSensors returns Sensors with validated options.
func NewSensors(opts SensorsOptions) (*Sensors, error) {
	opts.Count = cmp.Or(opts.Count, 10)
	opts.Rate = cmp.Or(opts.Rate, 0.2*float64(opts.Count))
	opts.ConnectRate = cmp.Or(opts.ConnectRate, 200)
	err := cmp.Or(checkCount("sensors", opts.Count, maxDevices), checkRate(opts.Rate), checkRate(opts.ConnectRate))
	if err != nil {
		return nil, err
	}
	b, err := newBase(opts.Options, "sensor")
	if err != nil {
		return nil, err
	}
	return &Sensors{base: b, opts: opts}, nil
}

// maxDevices bounds the clients of a fleet.
const maxDevices = 100_000

// Stats returns the counters.
func (s *Sensors) Stats() Stats { return s.counters.stats(s.opts.Count) }

// Run sends readings until ctx ends. Each sensor starts at a random moment, so that the load is even.
func (s *Sensors) Run(ctx context.Context) error {
	each(s.opts.Count, func(i int) {
		if !pause(ctx, time.Duration(float64(i)/s.opts.ConnectRate*float64(time.Second))) {
			return
		}
		s.run(ctx, i)
	})
	return nil
}

func (s *Sensors) run(ctx context.Context, i int) {
	id := fmt.Sprintf("%s%d", s.base.opts.Prefix, i+1)
	status := "sensors/" + id + "/status"
	d, err := s.connect(ctx, id, s.user(id), spec{
		will: &paho.WillMessage{Topic: status, Payload: []byte("offline"), QoS: 1, Retain: true},
		onUp: func(ctx context.Context, d *device) { d.publish(ctx, statusMessage(status, "online")) },
	})
	if err != nil {
		s.log.Error("sensor cannot start", "client", id, "error", err)
		return
	}
	defer d.leave(statusMessage(status, "offline"))
	s.measure(ctx, d, newClimate(rand.New(rand.NewPCG(s.opts.Seed, uint64(i)+3))))
}

func statusMessage(topic, status string) *paho.Publish {
	return &paho.Publish{Topic: topic, Payload: []byte(status), QoS: 1, Retain: true}
}

// measure sends a pair of readings each period.
func (s *Sensors) measure(ctx context.Context, d *device, c *climate) {
	period := time.Duration(2 * float64(s.opts.Count) / s.opts.Rate * float64(time.Second))
	if !pause(ctx, time.Duration(c.rng.Float64()*float64(period))) {
		return
	}
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		c.drift()
		d.publish(ctx, reading(d.id, "temperature", c.temperature))
		d.publish(ctx, reading(d.id, "humidity", c.humidity))
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func reading(id, metric string, value float64) *paho.Publish {
	payload := fmt.Appendf(nil, `{"v":%.1f,"t":%d}`, value, time.Now().UnixMilli())
	return &paho.Publish{Topic: "sensors/" + id + "/" + metric, Payload: payload, QoS: 1}
}

// climate is the weather in a room: both values wander about a mean.
type climate struct {
	rng                   *rand.Rand
	mean                  float64 // mean temperature in °C
	temperature, humidity float64
}

func newClimate(rng *rand.Rand) *climate {
	c := &climate{rng: rng, mean: 19 + 5*rng.Float64(), humidity: 35 + 25*rng.Float64()}
	c.temperature = c.mean
	return c
}

func (c *climate) drift() {
	c.temperature += 0.1*(c.mean-c.temperature) + 0.2*c.rng.NormFloat64()
	c.humidity += 0.05*(47-c.humidity) + 0.8*c.rng.NormFloat64()
	c.humidity = math.Min(math.Max(c.humidity, 5), 98)
}
