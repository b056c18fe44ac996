package client

import (
	"context"
	"fmt"
	"time"

	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
	"github.com/outcry-mqtt/outcry/tests/crash/history"
)

// Retained returns the retained messages under a filter, by topic. It waits until want have come, or none for some
// seconds.
func (o *Options) Retained(ctx context.Context, filter string, want int) (map[string]history.ID, error) {
	l, err := o.connect(ctx, raw.Connect{Version: o.Version, ID: o.ID, Clean: true})
	if err != nil {
		return nil, err
	}
	defer l.close()
	s := raw.Subscribe{ID: 1, Filters: []raw.Filter{{Name: filter}}}
	if err := l.send("SUBSCRIBE "+filter, s.Bytes(o.Version)); err != nil {
		return nil, err
	}
	found := map[string]history.ID{}
	for len(found) < want {
		select {
		case p, open := <-l.packets:
			if !open {
				return nil, fmt.Errorf("the broker ended the connection before it had sent the retained messages of %s", filter)
			}
			if p.Type != raw.PUBLISH {
				continue
			}
			id, err := history.ParsePayload(p.Payload)
			if err != nil {
				return nil, fmt.Errorf("retained %s: %w", p.Topic, err)
			}
			o.Log.Trace(o.ID, "< PUBLISH %v %s retain=%t", id, p.Topic, p.Retain)
			found[p.Topic] = id
		case <-time.After(answerTimeout):
			return found, nil
		}
	}
	return found, nil
}
