package devices

import (
	"math"
	"math/rand/v2"
	"strings"
)

// maxSymbols bounds the number of distinct symbols.
const maxSymbols = 20_000

// patterns are the forms of symbols: c consonants, v a vowel, e an ending. Short forms are more frequent.
var patterns = []string{"cve", "cve", "cvce", "cvve", "vcve", "cvcv", "cvcve", "ccve"}

var letters = map[rune][]string{
	'c': strings.Split("B C D F G H J K L M N P R S T V W Z BR CL CR DR FL GR PL PR ST TR", " "),
	'v': strings.Split("A A E E I I O O U Y", " "),
	'e': strings.Split("B C D G K L M N P R S T X", " "),
}

// avoided are letter sequences that no symbol may contain.
var avoided = strings.Split("ASS COC CUM CUN DIC FAG FUC FUK HOMO JAP KIK NAZ NIG PIS POR RAP SEX SLU SUC TIT WOG", " ")

// Symbols returns n plausible, distinct stock symbols of three to five letters, ACME first. The same seed gives the
// same symbols, and a larger n only appends. n is at most 20,000.
func Symbols(n int, seed uint64) []string {
	rng := rand.New(rand.NewPCG(seed, 2))
	seen := map[string]bool{"ACME": true}
	list := append(make([]string, 0, n), "ACME")
	for len(list) < n {
		s := symbol(rng)
		if seen[s] || len(s) < 3 || len(s) > 5 || isAvoided(s) {
			continue
		}
		seen[s] = true
		list = append(list, s)
	}
	return list[:n]
}

func symbol(rng *rand.Rand) string {
	var b strings.Builder
	for _, kind := range patterns[rng.IntN(len(patterns))] {
		from := letters[kind]
		b.WriteString(from[rng.IntN(len(from))])
	}
	return b.String()
}

func isAvoided(s string) bool {
	for _, part := range avoided {
		if strings.Contains(s, part) {
			return true
		}
	}
	return false
}

// stock is the price of one symbol: a mean-reverting geometric random walk, so that it stays plausible in a long
// demo.
type stock struct {
	topic      string
	price      float64
	mean       float64 // logarithm of the initial price
	log        float64 // logarithm of the price, unrounded
	volatility float64 // standard deviation of an update
}

// reversion is the fraction of the distance to the initial price that an update reverts.
const reversion = 0.0004

func newStock(symbol string, rng *rand.Rand) stock {
	home := 3.9 + 0.9*rng.NormFloat64() // half of them between 27 and 90
	s := stock{topic: "ticker/" + symbol, mean: home, log: home}
	s.volatility = 0.0004 + 0.0008*rng.ExpFloat64()
	s.price = round(math.Exp(home))
	return s
}

func (s *stock) walk(rng *rand.Rand) {
	s.log += reversion*(s.mean-s.log) + s.volatility*rng.NormFloat64()
	s.price = round(math.Exp(s.log))
}

// round returns a price in cents, below 1 in hundredths of a cent, never 0.
func round(price float64) float64 {
	step := 100.0
	if price < 1 {
		step = 10_000
	}
	return max(math.Round(price*step)/step, 1/step)
}
