package devices

import (
	"cmp"
	"context"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/eclipse/paho.golang/paho"
)

// TickerOptions configure a Ticker.
type TickerOptions struct {
	Options
	Symbols int     // 0: 500
	Rate    float64 // price updates a second in total; 0: 1,000
	Seed    uint64  // the same seed gives the same symbols and prices
}

// Ticker is a stock exchange: one client, the user "ticker". It publishes the price of each symbol as a retained
// message with QoS 0 to ticker/{symbol}: {"p":123.45,"t":1767225600000}; t is in milliseconds of Unix time.
type Ticker struct {
	*base
	opts   TickerOptions
	market *market
}

// NewTicker returns a Ticker with validated options.
func NewTicker(opts TickerOptions) (*Ticker, error) {
	opts.Symbols = cmp.Or(opts.Symbols, 500)
	opts.Rate = cmp.Or(opts.Rate, 1000)
	if err := cmp.Or(checkCount("symbols", opts.Symbols, maxSymbols), checkRate(opts.Rate)); err != nil {
		return nil, err
	}
	b, err := newBase(opts.Options, "ticker")
	if err != nil {
		return nil, err
	}
	return &Ticker{base: b, opts: opts, market: newMarket(opts.Symbols, opts.Seed)}, nil
}

// Stats returns the counters.
func (t *Ticker) Stats() Stats { return t.counters.stats(1) }

// Symbols returns the symbols of the ticker.
func (t *Ticker) Symbols() []string { return Symbols(t.opts.Symbols, t.opts.Seed) }

// Run publishes prices until ctx ends.
func (t *Ticker) Run(ctx context.Context) error {
	d, err := t.connect(ctx, t.base.opts.Prefix+"1", t.user("ticker"), spec{})
	if err != nil {
		return err
	}
	defer d.leave()
	pace(ctx, t.opts.Rate, func(n int) {
		d.batch(func() {
			for range n {
				d.publish(ctx, t.next())
			}
		})
	})
	return nil
}

func (t *Ticker) next() *paho.Publish {
	s := t.market.next()
	return &paho.Publish{Topic: s.topic, Retain: true, Payload: quote(s.price, time.Now())}
}

// quote returns the payload of a price; below 1 to a hundredth of a cent.
func quote(price float64, at time.Time) []byte {
	digits := 2
	if price < 1 {
		digits = 4
	}
	b := append(make([]byte, 0, 48), `{"p":`...)
	b = strconv.AppendFloat(b, price, 'f', digits, 64)
	b = append(b, `,"t":`...)
	b = strconv.AppendInt(b, at.UnixMilli(), 10)
	return append(b, '}')
}

// market updates prices: each symbol once a round, in an order that is shuffled for each round.
type market struct {
	rng    *rand.Rand
	stocks []stock
	order  []int // rest of the round
}

func newMarket(n int, seed uint64) *market {
	m := &market{rng: rand.New(rand.NewPCG(seed, 1)), stocks: make([]stock, n)}
	for i, s := range Symbols(n, seed) {
		m.stocks[i] = newStock(s, m.rng)
	}
	return m
}

func (m *market) next() *stock {
	if len(m.order) == 0 {
		m.order = m.rng.Perm(len(m.stocks))
	}
	s := &m.stocks[m.order[0]]
	m.order = m.order[1:]
	s.walk(m.rng)
	return s
}
