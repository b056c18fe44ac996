package rules_test

import (
	"fmt"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/hooks/rules"
)

func Example() {
	authorizer, err := rules.New(rules.Options{
		Rules: []rules.Rule{
			{Who: []string{"*"}, Actions: []string{"subscribe"}, Topics: []string{"devices/+/secret"}},
			{Allow: true, Who: []string{"*"}, Topics: []string{"devices/{client}/#"}},
		},
		Rooms: []rules.Room{
			{Topics: "chat/{room}/#", Join: []string{"claim:rooms"}, Speak: []string{"claim:rooms"}},
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	client := &broker.Client{ID: "d1", Identity: &broker.Identity{User: "ann", Claims: map[string]any{"rooms": []any{"lobby"}}}}
	fmt.Println(authorizer.Authorize(client, broker.Publish, "devices/d1/up"))
	fmt.Println(authorizer.Authorize(client, broker.Subscribe, "devices/d1/#"))
	fmt.Println(authorizer.Authorize(client, broker.Subscribe, "chat/lobby/#"))
	fmt.Println(authorizer.Explain(client, rules.Question{Action: broker.Subscribe, Topic: "chat/+/say"}).Reason)
	// Output:
	// true
	// false
	// true
	// no rule allows it; rooms[0].join[0] is nearest, but chat/+/say is not among chat/{claim.rooms}/#
}
