package attacks_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// allAttacks holds all attacks.
var allAttacks = slices.Concat(subscriptionAttacks, retainedAttacks, messageAttacks, sessionAttacks, connectionAttacks)

// malTopic returns a topic or filter that the user "mal" may use.
func malTopic(rest ...any) string { return "sensors/mal/" + fmt.Sprint(rest...) }

// publish encodes a PUBLISH; id is 0 for QoS 0.
func publish(topic, payload string, qos byte, id int, props ...raw.Prop) []byte {
	return raw.Publish{Topic: topic, Payload: payload, QoS: qos, ID: id, Props: props}.Bytes(raw.V5)
}

func retain(topic, payload string, props ...raw.Prop) []byte {
	return raw.Publish{Topic: topic, Payload: payload, Retain: true, Props: props}.Bytes(raw.V5)
}

func subscribe(filters []string, options byte, props ...raw.Prop) []byte {
	p := raw.Subscribe{ID: 1, Props: props}
	for _, f := range filters {
		p.Filters = append(p.Filters, raw.Filter{Name: f, Options: options})
	}
	return p.Bytes(raw.V5)
}

func unsubscribe(filters []string) []byte {
	return raw.Unsubscribe{ID: 2, Filters: filters}.Bytes(raw.V5)
}

// repeat repeats a packet n times.
func repeat(n int, packet []byte) []byte { return bytes.Repeat(packet, n) }

// aliased encodes n messages to a topic, in as few bytes as possible.
func aliased(topic string, n int) []byte {
	alias := raw.Num(raw.TopicAlias, 1)
	return append(publish(topic, "", 0, 0, alias), repeat(n-1, publish("", "", 0, 0, alias))...)
}

// numbered returns n names made from a format with one number.
func numbered(n int, format string) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf(format, i)
	}
	return names
}

// branches returns all filters with a number of levels of "a" and "+", between before and after.
func branches(levels int, before, after string) []string {
	all := make([]string, 0, 1<<levels)
	for i := range 1 << levels {
		var b strings.Builder
		b.WriteString(before)
		for l := range levels {
			b.WriteString([]string{"a/", "+/"}[i>>l&1])
		}
		b.WriteString(after)
		all = append(all, b.String())
	}
	return all
}

// newTopicMessages encodes n messages to unused topics.
func newTopicMessages(before string, from, n int, qos byte, payload string) []byte {
	var b []byte
	for i := range n {
		b = append(b, publish(fmt.Sprint(before, from+i), payload, qos, (1+i)*int(min(qos, 1)))...)
	}
	return b
}
