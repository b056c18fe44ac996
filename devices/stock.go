package devices

import (
	"math"
	"math/rand/v2"
)

// stock is one symbol's price: a geometric random walk that is drawn back to where it began, so that it stays
// plausible for as long as a demo runs.
type stock struct {
	topic      string
	price      float64
	home       float64 // logarithm of the price it began with
	log        float64 // logarithm of the price, unrounded
	volatility float64 // standard deviation of an update
}

// pull is the part of the way home that an update goes.
const pull = 0.0004

func newStock(symbol string, rng *rand.Rand) stock {
	home := 3.9 + 0.9*rng.NormFloat64() // half of them between 27 and 90
	s := stock{topic: "ticker/" + symbol, home: home, log: home}
	s.volatility = 0.0004 + 0.0008*rng.ExpFloat64()
	s.price = round(math.Exp(home))
	return s
}

func (s *stock) walk(rng *rand.Rand) {
	s.log += pull*(s.home-s.log) + s.volatility*rng.NormFloat64()
	s.price = round(math.Exp(s.log))
}

// round gives a price to the cent, or below 1 to a hundredth of one, and never 0.
func round(price float64) float64 {
	step := 100.0
	if price < 1 {
		step = 10_000
	}
	return max(math.Round(price*step)/step, 1/step)
}
