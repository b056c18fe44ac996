package broker_test

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// step is one thing that happens to the broker. As a line of text it is a verb, then whose it is, then a topic or filter
// where there is one, then numbers and flags by name:
//
//	connect a version=5 expiry=1500 receive=2
//	subscribe a x/# qos=2 nolocal
//	publish b x/1 qos=1 retain
//	crash
type step struct {
	verb, who, name string
	n               map[string]int // what is not there is 0
}

// verbs say what a step has: a client, and a topic or filter.
var verbs = map[string]struct{ who, name bool }{
	"connect":     {who: true},             // version, clean, expiry, receive, will (1 and up: its topic), willqos, willretain, willdelay: takes over where it is connected already
	"drop":        {who: true},             // the connection is lost
	"disconnect":  {who: true},             // expiry if changed: the session's from now on
	"subscribe":   {who: true, name: true}, // qos, nolocal, retain (as published), handling (of retained messages), id
	"unsubscribe": {who: true, name: true}, //
	"publish":     {who: true, name: true}, // qos, retain, expiry, empty
	"ack":         {who: true},             // at: which of what the client has got; refuse: with an error
	"release":     {who: true},             // at: which of its QoS 2 messages
	"advance":     {},                      // by: seconds that pass
	"restart":     {},                      // down: seconds that pass between the brokers
	"crash":       {},                      // down
	"stall":       {},                      // after: commits that the disk still takes
	"flow":        {},                      // the disk takes what it has not
	"fail":        {},                      // the disk takes nothing and says so
	"heal":        {},                      //
}

func (st step) String() string {
	words := []string{st.verb}
	for _, w := range []string{st.who, st.name} {
		if w != "" {
			words = append(words, w)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(st.n)) {
		switch v := st.n[k]; v {
		case 0:
		case 1:
			words = append(words, k)
		default:
			words = append(words, fmt.Sprint(k, "=", v))
		}
	}
	return strings.Join(words, " ")
}

// parseSteps reads steps, one a line. Empty lines, and what is behind a '#' at the beginning of a line, are left out.
func parseSteps(text string) (steps []step, err error) {
	for i, line := range strings.Split(text, "\n") {
		words := strings.Fields(line)
		if len(words) == 0 || words[0][0] == '#' {
			continue
		}
		st, err := parseStep(words)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		steps = append(steps, st)
	}
	return steps, nil
}

func parseStep(words []string) (st step, err error) {
	st = step{verb: words[0], n: map[string]int{}}
	has, known := verbs[st.verb]
	if words = words[1:]; !known {
		return st, fmt.Errorf("no such verb: %s", st.verb)
	}
	for _, part := range []struct {
		is   bool
		word *string
	}{{has.who, &st.who}, {has.name, &st.name}} {
		if !part.is {
			continue
		}
		if len(words) == 0 {
			return st, fmt.Errorf("%s: a client, topic or filter is missing", st.verb)
		}
		*part.word, words = words[0], words[1:]
	}
	for _, w := range words {
		k, v, isNumber := strings.Cut(w, "=")
		st.n[k] = 1
		if isNumber {
			if st.n[k], err = strconv.Atoi(v); err != nil {
				return st, fmt.Errorf("%s: %w", st.verb, err)
			}
		}
	}
	return st, nil
}

func format(steps []step) string {
	var b strings.Builder
	for _, st := range steps {
		fmt.Fprintln(&b, st)
	}
	return b.String()
}

// source decides what happens next: draw returns a number below n, and more tells whether there is anything to come.
type source interface {
	draw(n int) int
	more() bool
}

var (
	modelClients = []string{"a", "b", "c"}
	modelTopics  = []string{"x", "x/1", "x/2", "y"}
	modelFilters = append([]string{"x/#", "x/1", "x/+", "#", "y", "x"}, modelShares...)
)

// generate makes steps of a source.
func generate(s source) (steps []step) {
	for _, who := range modelClients { // without them nothing happens
		for _, verb := range []string{"connect", "subscribe"} {
			steps = append(steps, step{verb: verb, who: who}.filled(s))
		}
	}
	for s.more() {
		steps = append(steps, generateStep(s))
	}
	return steps
}

// weights say how often which verb comes.
var weights = []struct {
	verb string
	n    int
}{
	{"publish", 24}, {"ack", 22}, {"connect", 12}, {"subscribe", 9}, {"release", 6}, {"drop", 6}, {"unsubscribe", 2},
	{"disconnect", 3}, {"advance", 3}, {"restart", 2}, {"crash", 3}, {"stall", 3}, {"flow", 2}, {"fail", 1}, {"heal", 2},
}

func generateStep(s source) step {
	at := s.draw(100)
	i := 0
	for ; at >= weights[i].n; i++ {
		at -= weights[i].n
	}
	st := step{verb: weights[i].verb}
	if verbs[st.verb].who {
		st.who = modelClients[s.draw(len(modelClients))]
	}
	return st.filled(s)
}

// filled is the step with a topic or filter, numbers and flags. Times are such that nothing is ever due within 500 seconds of when a step happens: what time a test takes does not
// matter.
func (st step) filled(s source) step {
	st.n = map[string]int{}
	choose := func(of ...int) int { return of[s.draw(len(of))] }
	switch st.verb {
	case "connect":
		st.n["version"] = choose(5, 5, 4)
		st.n["clean"] = choose(0, 0, 0, 1)
		st.n["expiry"] = choose(-1, 1500, 3500, 0)
		st.n["receive"] = choose(0, 1, 2)
		if st.n["will"] = choose(0, 0, 1+s.draw(len(modelTopics)+len(modelJobs))); st.n["will"] > 0 {
			st.n["willqos"] = choose(1, 2, 0)
			st.n["willretain"] = choose(0, 0, 1)
			st.n["willdelay"] = choose(0, 0, 500, 1500)
		}
	case "disconnect":
		if st.n["changed"] = choose(0, 0, 1); st.n["changed"] == 1 {
			st.n["expiry"] = choose(0, 1500, -1)
		}
	case "subscribe":
		st.name = modelFilters[s.draw(len(modelFilters))]
		st.n["qos"] = choose(2, 1, 2, 0)
		st.n["nolocal"] = choose(0, 0, 0, 1)
		st.n["retain"] = choose(0, 0, 1)
		st.n["handling"] = choose(0, 0, 1, 2)
		st.n["id"] = choose(0, 0, 3, 7)
	case "unsubscribe":
		st.name = modelFilters[s.draw(len(modelFilters))]
	case "publish":
		topics := slices.Concat(modelTopics, modelJobs)
		st.name = topics[s.draw(len(topics))]
		st.n["qos"] = choose(2, 1, 2, 1, 0)
		st.n["retain"] = choose(0, 0, 0, 1)
		st.n["expiry"] = choose(0, 0, 0, 1500)
		st.n["empty"] = choose(0, 0, 0, 0, 0, 1) * st.n["retain"]
	case "ack":
		st.n["at"] = choose(0, 0, 0, 0, 2, 3)
		st.n["refuse"] = choose(0, 0, 0, 0, 0, 0, 0, 0, 0, 1)
	case "release":
		st.n["at"] = choose(0, 0, 2)
	case "advance":
		st.n["by"] = choose(1000, 2000)
	case "restart", "crash":
		st.n["down"] = choose(0, 0, 1000, 3000)
	case "stall":
		st.n["after"] = choose(0, 1, 2, 3)
	}
	maps.DeleteFunc(st.n, func(_ string, v int) bool { return v == 0 })
	return st
}
