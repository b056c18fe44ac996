package messages

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/cmd/outcry/client"
)

// denials collects Outcry's notices on $me/denied: denied messages of this client for which MQTT has no negative
// answer. Other brokers send nothing there.
type denials struct {
	mu   sync.Mutex // guards the fields below
	last denialNotice
}

type denialNotice struct {
	Denied int    `json:"denied"`
	Topic  string `json:"topic"` // of the last message
	Code   byte   `json:"code"`  // its reason code
}

const deniedTopic = "$me/denied"

// note handles a message of the broker.
func (d *denials) note(m *broker.Message) {
	if m.Topic != deniedTopic {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	_ = json.Unmarshal(m.Payload, &d.last) // an invalid notice is ignored
}

// ask asks the broker for denials until now, and disconnects. Its error describes the denied messages, or the reason
// for the connection's end.
//
// The broker answers a subscription, and then sends the notice. After the second answer the client of MQTT 5 has the
// notice, and Close waits until it has passed it on. The other client has passed on the notice after the fourth
// answer: it buffers two more messages.
func (d *denials) ask(ctx context.Context, c client.Conn) error {
	if err := c.Unsubscribe(ctx, deniedTopic); err != nil {
		return err
	}
	for range 4 {
		refused, err := c.Subscribe(ctx, []string{deniedTopic}, client.Subscribing{})
		if err != nil || refused[0] != nil {
			break // a broker without this topic, whatever it does then
		}
	}
	c.Close()
	d.mu.Lock()
	defer d.mu.Unlock()
	switch n := &d.last; {
	case n.Denied == 1:
		return fmt.Errorf("message to %q refused by the broker: %s", n.Topic, client.CodeText(n.Code, ""))
	case n.Denied > 1:
		return fmt.Errorf("%d messages refused by the broker, the last to %q: %s", n.Denied, n.Topic, client.CodeText(n.Code, ""))
	}
	return nil
}
