package devices

import (
	"math"
	"math/rand/v2"
)

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
