package broker

import (
	"math"
	"strconv"
	"time"
)

// loads holds moving averages over one, five and fifteen minutes of rates per minute. They start at 0 when the broker is made.
// Updates need not be at equal intervals; within an interval events count as evenly spread.
type loads struct {
	last   int64 // last update, on the broker's clock
	before [loadKinds]uint64
	rates  [loadKinds][len(loadSpans)]float64
}

const loadKinds = 7

var (
	loadNames = [loadKinds]string{
		"load/messages/received", "load/messages/sent", "load/publish/received", "load/publish/sent", "load/bytes/received",
		"load/bytes/sent", "load/connections",
	}
	loadSpans = [...]time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute}
	loadWords = [...]string{"/1min", "/5min", "/15min"}
)

// update adds a snapshot to the averages.
func (l *loads) update(st *Stats, now int64) {
	total := uint64(0)
	for _, c := range st.Connections {
		total += c.Total
	}
	values := [loadKinds]uint64{
		sum(st.PacketsReceived[:]), sum(st.PacketsSent[:]), sum(st.MessagesReceived[:]), sum(st.MessagesSent[:]),
		st.BytesReceived, st.BytesSent, total,
	}
	if since := time.Duration(now - l.last); since > 0 {
		for i := range values {
			perMinute := float64(values[i]-min(l.before[i], values[i])) / since.Minutes() // the sum falls when a shard has ended
			for j, span := range loadSpans {
				weight := math.Exp(-since.Seconds() / span.Seconds())
				l.rates[i][j] = perMinute + weight*(l.rates[i][j]-perMinute)
			}
		}
	}
	l.last, l.before = now, values
}

// each calls fn with the name and value of every average.
func (l *loads) each(fn func(name, value string)) {
	for i, name := range loadNames {
		for j, word := range loadWords {
			fn(name+word, strconv.FormatFloat(l.rates[i][j], 'f', 2, 64))
		}
	}
}
