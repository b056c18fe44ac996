package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
	"github.com/outcry-mqtt/outcry/tests/crash/client"
	"github.com/outcry-mqtt/outcry/tests/crash/history"
)

// topics are those of messages that are not retained.
var topics = []string{"crash/a", "crash/b/1", "crash/b/2", "crash/c/1/x", "crash/c/2/x"}

// keptTopics are all topics of retained messages: each publisher of those has its own.
const keptTopics = "crash/kept/#"

// willTopic is that of all wills.
const willTopic = "crash/will"

// crew are the clients.
type crew struct {
	publishers  []*client.Publisher
	subscribers []*client.Subscriber
	mortals     []*client.Mortal

	publishing, running sync.WaitGroup
}

// newCrew makes clients. Everything that they choose depends on seed and on their place alone.
func newCrew(seed uint64, clients int, stage *client.Stage, log *history.Log) *crew {
	c := &crew{}
	for i := range clients / 3 {
		p := newPublisher(i, rand.New(rand.NewPCG(seed, uint64(i+1))))
		version := [...]byte{raw.V5, raw.V311}[i/2%2]
		p.Options = client.Options{ID: fmt.Sprintf("p%02d", i), Version: version, Stage: stage, Log: log}
		if p.Retain {
			p.Topics = []string{"crash/kept/" + p.ID}
		}
		c.publishers = append(c.publishers, p)
	}
	for i := range clients - clients/3 {
		s := &client.Subscriber{Role: roles[i%len(roles)], Random: rand.New(rand.NewPCG(seed, uint64(i+1)<<32))}
		s.Options = client.Options{ID: fmt.Sprintf("s%02d", i), Version: s.Role.Version, Stage: stage, Log: log}
		c.subscribers = append(c.subscribers, s)
	}
	for i := range 2 {
		m := &client.Mortal{Topic: willTopic, Life: 300 * time.Millisecond, Random: rand.New(rand.NewPCG(seed, uint64(i+1)<<48))}
		m.Options = client.Options{ID: fmt.Sprintf("m%02d", i), Version: raw.V5, Stage: stage, Log: log}
		c.mortals = append(c.mortals, m)
	}
	return c
}

// newPublisher is one of a kind that depends on its place: every fourth retains, every third loses its connection.
func newPublisher(i int, random *rand.Rand) *client.Publisher {
	p := &client.Publisher{Random: random, Topics: topics, Window: 1 + random.IntN(20), Retain: i%4 == 3}
	p.Pause = time.Duration(5+random.IntN(50)) * time.Millisecond
	if i%3 == 1 {
		p.Drops = 100
	}
	return p
}

// roles are the kinds of subscribers, in turn.
var roles = []client.Role{
	// Always there.
	{Version: raw.V5, Filters: filters("crash/#", 2)},
	{Version: raw.V311, Filters: filters("crash/#", 1)},
	{Version: raw.V311, Filters: filters("crash/c/+/x", 2)},
	// Overlapping filters: the best of them counts, and it is one message.
	{Version: raw.V5, Filters: filters("crash/b/+", 1, "crash/b/1", 2, "crash/+/1", 1)},
	// Loses its connection in mid-flow.
	{Version: raw.V5, Filters: filters("crash/#", 2), Drops: 60, Slow: 20 * time.Millisecond},
	// Away for some rounds.
	{Version: raw.V5, Filters: filters("crash/+", 2, "crash/b/#", 2), Away: 6},
	{Version: raw.V311, Filters: filters("crash/#", 2, "crash/a", 1), Away: 3, Drops: 500},
	// Members of a group.
	{Version: raw.V5, Filters: filters("crash/#", 2), Group: "crew"},
	{Version: raw.V5, Filters: filters("crash/#", 2), Group: "crew", Away: 4},
	{Version: raw.V311, Filters: filters("crash/#", 1), Group: "pair", Drops: 200},
	{Version: raw.V5, Filters: filters("crash/#", 2), Group: "pair", Slow: 50 * time.Millisecond},
	// Slow, and with a window that is soon full.
	{Version: raw.V5, Filters: filters("crash/b/#", 2), ReceiveMax: 3, Slow: 30 * time.Millisecond},
	{Version: raw.V311, Filters: filters("crash/kept/+", 1, "crash/a", 2), Slow: 100 * time.Millisecond, Away: 2},
	// Comes later.
	{Version: raw.V5, Filters: filters("crash/#", 1, "crash/c/#", 2), From: 3, Away: 2},
}

// filters makes filters of pairs of name and QoS.
func filters(pairs ...any) (all []history.Filter) {
	for i := 0; i < len(pairs); i += 2 {
		all = append(all, history.Filter{Name: pairs[i].(string), QoS: byte(pairs[i+1].(int))})
	}
	return all
}

// start has everybody begin. They end with ctx; publishers also when the stage ends and all is acknowledged.
func (c *crew) start(ctx context.Context) {
	for _, p := range c.publishers {
		c.publishing.Go(func() { p.Run(ctx) })
	}
	for _, m := range c.mortals {
		c.publishing.Go(func() { m.Run(ctx) })
	}
	for _, s := range c.subscribers {
		c.running.Go(func() { s.Run(ctx) })
	}
}

// published is closed when all publishers have ended.
func (c *crew) published() <-chan struct{} {
	done := make(chan struct{})
	go func() {
		c.publishing.Wait()
		close(done)
	}()
	return done
}

// wait waits until everybody has ended.
func (c *crew) wait() {
	c.publishing.Wait()
	c.running.Wait()
}

// settled reports whether every subscriber has been sent all that the broker had for it in a round.
func (c *crew) settled(round int) bool {
	for _, s := range c.subscribers {
		if s.Settled() < round {
			return false
		}
	}
	return true
}
