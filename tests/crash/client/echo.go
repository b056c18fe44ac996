package client

import (
	"context"
	"errors"

	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// Echo publishes a QoS 0 message to a topic of its own, and waits for its delivery.
func (o *Options) Echo(ctx context.Context, topic string) error {
	l, err := o.connect(ctx, raw.Connect{Version: o.Version, ID: o.ID, Clean: true})
	if err != nil {
		return err
	}
	defer l.close()
	subscribe := raw.Subscribe{ID: 1, Filters: []raw.Filter{{Name: topic}}}
	publish := raw.Publish{Topic: topic, Payload: topic}
	if err := l.send("SUBSCRIBE, PUBLISH qos=0", append(subscribe.Bytes(o.Version), publish.Bytes(o.Version)...)); err != nil {
		return err
	}
	for {
		select {
		case p, open := <-l.packets:
			switch {
			case !open:
				return errors.New("the broker ended the connection")
			case p.Type == raw.PUBLISH && p.Payload == topic:
				return nil
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
