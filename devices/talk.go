package devices

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// names are the names of chatters.
var names = strings.Fields(`Ada Bela Cleo Dario Edda Finn Greta Hugo Ines Jonas Kira Luca Mira Nils Oda Pavel Runa Sami Tilda Ugo
	Vera Wim Xenia Yuri Zoe`)

// personName returns the name of the i-th chatter; names are distinct.
func personName(i int) string {
	name := names[i%len(names)]
	if i < len(names) {
		return name
	}
	return fmt.Sprintf("%s%d", name, i/len(names)+1)
}

// A sentence is one of openings, or an answer. Words in braces are replaced by one of their list.
var (
	openings = []string{
		"{greeting}, everyone!",
		"{greeting}! What is {stock} up to today?",
		"Has anybody else seen {stock} just now?",
		"I think {stock} is about to {move}.",
		"{stock} and {stock} seem to {move} together this {time}.",
		"The {thing} in the hall is {quality} today.",
		"Who wants to join me for {treat} this {time}?",
		"There is {treat} in the kitchen, help yourselves.",
		"I moved the {thing} next to the window, it likes the sun.",
		"Sunshine here, and a {quality} breeze. How is it where you are?",
		"My {thing} says it is {quality}. I believe it.",
		"Finally finished the {task}. That took all {time}!",
		"Could somebody look over the {task} with me this {time}?",
		"A quiet {time}, just how I like it.",
		"Back in five minutes, getting {treat}.",
	}
	answers = []string{
		"@{other} I was about to say the same!",
		"@{other} really? Then {stock} will {move}, too.",
		"@{other} good one :)",
		"@{other} count me in.",
		"@{other} yes, and the {thing} is {quality} as well.",
		"@{other} only if there is {treat}.",
		"@{other} thank you, that made my {time}.",
		"@{other} let me finish the {task} first.",
	}
	words = map[string][]string{
		"greeting": {"Good morning", "Hello", "Hi", "Hey there", "Ahoy"},
		"stock":    {"ACME", "the bakery stock", "the windmill fund", "my favourite ticker", "the chip maker"},
		"move":     {"take off", "have a quiet day", "surprise us", "turn around", "climb a little"},
		"time":     {"morning", "afternoon", "day", "week", "evening"},
		"thing":    {"thermometer", "coffee machine", "lemon tree", "old barometer", "printer"},
		"quality":  {"unusually warm", "pleasantly cool", "quiet", "in a good mood", "brand new"},
		"treat":    {"cake", "a walk", "fresh coffee", "apple pie", "tea and biscuits"},
		"task":     {"report", "dashboard", "puzzle", "migration", "crossword"},
	}
)

// speech composes sentences.
type speech struct {
	rng  *rand.Rand
	last string
}

// sentence returns a sentence, every other time addressed to other, if there is one. It never repeats the last one.
func (t *speech) sentence(other string) string {
	for {
		s := t.fill(t.form(other), other)
		if s != t.last {
			t.last = s
			return s
		}
	}
}

func (t *speech) form(other string) string {
	if other != "" && t.rng.IntN(2) == 0 {
		return t.pick(answers)
	}
	return t.pick(openings)
}

func (t *speech) pick(from []string) string { return from[t.rng.IntN(len(from))] }

func (t *speech) fill(form, other string) string {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(form, "{")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		word, after, _ := strings.Cut(rest, "}")
		if word == "other" {
			b.WriteString(other)
		} else {
			b.WriteString(t.pick(words[word]))
		}
		form = after
	}
}
