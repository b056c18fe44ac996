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

// keptTopics matches all topics of retained messages: each publisher of those has its own.
const keptTopics = "crash/kept/#"

// willTopic is the topic of all wills.
const willTopic = "crash/will"

// workload holds the clients of a run.
type workload struct {
	publishers  []*client.Publisher
	subscribers []*client.Subscriber
	willClients []*client.WillClient

	publishing, running sync.WaitGroup
}

// newWorkload creates clients. All their random choices depend on seed and their index only.
func newWorkload(seed uint64, clients int, stage *client.Stage, log *history.Log) *workload {
	c := &workload{}
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
		m := &client.WillClient{Topic: willTopic, Life: 300 * time.Millisecond, Random: rand.New(rand.NewPCG(seed, uint64(i+1)<<48))}
		m.Options = client.Options{ID: fmt.Sprintf("m%02d", i), Version: raw.V5, Stage: stage, Log: log}
		c.willClients = append(c.willClients, m)
	}
	return c
}

// newPublisher returns a publisher whose kind depends on its index: every fourth retains, every third breaks its
// connection.
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
	// Always connected.
	{Version: raw.V5, Filters: filters("crash/#", 2)},
	{Version: raw.V311, Filters: filters("crash/#", 1)},
	{Version: raw.V311, Filters: filters("crash/c/+/x", 2)},
	// Overlapping filters: one delivery, at the highest QoS.
	{Version: raw.V5, Filters: filters("crash/b/+", 1, "crash/b/1", 2, "crash/+/1", 1)},
	// Breaks its connection within flows.
	{Version: raw.V5, Filters: filters("crash/#", 2), Drops: 60, Slow: 20 * time.Millisecond},
	// Absent for some rounds.
	{Version: raw.V5, Filters: filters("crash/+", 2, "crash/b/#", 2), Away: 6},
	{Version: raw.V311, Filters: filters("crash/#", 2, "crash/a", 1), Away: 3, Drops: 500},
	// Members of a group.
	{Version: raw.V5, Filters: filters("crash/#", 2), Group: "crew"},
	{Version: raw.V5, Filters: filters("crash/#", 2), Group: "crew", Away: 4},
	{Version: raw.V311, Filters: filters("crash/#", 1), Group: "pair", Drops: 200},
	{Version: raw.V5, Filters: filters("crash/#", 2), Group: "pair", Slow: 50 * time.Millisecond},
	// Slow, with a small receive maximum.
	{Version: raw.V5, Filters: filters("crash/b/#", 2), ReceiveMax: 3, Slow: 30 * time.Millisecond},
	{Version: raw.V311, Filters: filters("crash/kept/+", 1, "crash/a", 2), Slow: 100 * time.Millisecond, Away: 2},
	// Connects later.
	{Version: raw.V5, Filters: filters("crash/#", 1, "crash/c/#", 2), From: 3, Away: 2},
}

// filters builds filters from pairs of name and QoS.
func filters(pairs ...any) (all []history.Filter) {
	for i := 0; i < len(pairs); i += 2 {
		all = append(all, history.Filter{Name: pairs[i].(string), QoS: byte(pairs[i+1].(int))})
	}
	return all
}

// start starts all clients. They end with ctx; publishers also when the stage ends and everything is acknowledged.
func (c *workload) start(ctx context.Context) {
	for _, p := range c.publishers {
		c.publishing.Go(func() { p.Run(ctx) })
	}
	for _, m := range c.willClients {
		c.publishing.Go(func() { m.Run(ctx) })
	}
	for _, s := range c.subscribers {
		c.running.Go(func() { s.Run(ctx) })
	}
}

// published returns a channel that is closed when all publishers have ended.
func (c *workload) published() <-chan struct{} {
	done := make(chan struct{})
	go func() {
		c.publishing.Wait()
		close(done)
	}()
	return done
}

// wait waits for the end of all clients.
func (c *workload) wait() {
	c.publishing.Wait()
	c.running.Wait()
}

// isSettled reports whether every subscriber has got everything that the broker had for it in a round.
func (c *workload) isSettled(round int) bool {
	for _, s := range c.subscribers {
		if s.Settled() < round {
			return false
		}
	}
	return true
}
