package broker

import (
	"math"
	"strconv"
	"time"
)

// loads is moving averages over one, five and fifteen minutes of what happens in a minute.
type loads struct {
	last   time.Time
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

// update takes a snapshot into the averages. The first one only sets where they begin.
func (l *loads) update(st *Stats, now time.Time) {
	total := uint64(0)
	for _, c := range st.Connections {
		total += c.Total
	}
	values := [loadKinds]uint64{
		sum(st.PacketsReceived[:]), sum(st.PacketsSent[:]), sum(st.MessagesReceived[:]), sum(st.MessagesSent[:]),
		st.BytesReceived, st.BytesSent, total,
	}
	if since := now.Sub(l.last); !l.last.IsZero() && since > 0 {
		for i := range values {
			perMinute := float64(values[i]-l.before[i]) / since.Minutes()
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
