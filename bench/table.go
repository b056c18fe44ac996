package bench

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
)

// Print writes the report as tables.
func (p *Report) Print(out io.Writer) error {
	t := &table{w: tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)}
	t.row(string(p.Scenario), p.description())
	p.printConnections(t)
	p.printMessages(t)
	p.printProcess(t)
	p.printLatencies(t)
	for _, note := range p.Notes {
		t.row("note", note)
	}
	return t.w.Flush()
}

// table writes rows of a name and a text.
type table struct{ w *tabwriter.Writer }

func (t *table) row(cells ...string) { fmt.Fprintln(t.w, strings.Join(cells, "\t")) }

// description describes the scenario and its clients.
func (p *Report) description() string {
	parts := []string{p.Broker, "MQTT " + map[byte]string{4: "3.1.1", 5: "5"}[p.Version]}
	add := func(n int, one string) {
		if n == 1 {
			parts = append(parts, "1 "+one)
		} else if n > 0 {
			parts = append(parts, count(uint64(n))+" "+one+"s")
		}
	}
	if p.Messages == nil {
		add(p.Clients, "client")
		return strings.Join(parts, ", ")
	}
	add(p.Publishers, "publisher")
	add(p.Subscribers, "subscriber")
	add(p.Topics, "topic")
	parts = append(parts, fmt.Sprintf("QoS %d", p.QoS), fmt.Sprintf("%d bytes", p.Payload))
	if p.Rate > 0 {
		parts = append(parts, fmt.Sprintf("%s messages/s", perSecond(p.Rate)))
	}
	if p.Window > 0 {
		parts = append(parts, fmt.Sprintf("%d in flight", p.Window))
	}
	return strings.Join(parts, ", ")
}

func (p *Report) printConnections(t *table) {
	c := p.Connections
	text := fmt.Sprintf("%s made, %d failed, %d lost", count(c.Opened), c.Failed, c.Lost)
	if c.PerSecond > 0 {
		text += fmt.Sprintf(", %s/s", perSecond(c.PerSecond))
	}
	if p.Cycles > 0 {
		text += fmt.Sprintf(", %s/s over %.3gs", perSecond(p.Cycles), p.Seconds)
	}
	t.row("connections", text)
	for _, seconds := range p.Rounds {
		t.row("all in", fmt.Sprintf("after %.3fs", seconds))
	}
	if p.Fill != nil {
		text := fmt.Sprintf("%s messages stored in %.3gs", count(uint64(p.Fill.Messages)), p.Fill.Seconds)
		if p.Fill.Memory > 0 {
			text += ", the broker grew by " + bytesText(p.Fill.Memory)
		}
		t.row("retained", text)
	}
}

func (p *Report) printMessages(t *table) {
	m := p.Messages
	if m == nil {
		return
	}
	if m.SentPerSecond > 0 {
		t.row("sent", fmt.Sprintf("%s/s", perSecond(m.SentPerSecond)), count(m.Sent)+" in all")
	}
	t.row("received", fmt.Sprintf("%s/s", perSecond(m.ReceivedPerSecond)), count(m.Received)+" in all")
	if s := p.Slow; s != nil {
		t.row("slow", fmt.Sprintf("%d subscribers read %s B/s each: %s in all, %s skipped", s.Subscribers, count(uint64(s.BytesPerSecond)),
			count(s.Received), count(s.Skipped)))
	}
	t.row("checked", fmt.Sprintf("%d lost, %d duplicated, %d reordered, %d misrouted, %d corrupted",
		m.Lost, m.Duplicated, m.Reordered, m.Misrouted, m.Corrupted))
	var more []string
	for _, x := range []struct {
		n    uint64
		what string
	}{
		{m.Unsent, "due and not sent, because the broker did not accept them"}, {m.Unacknowledged, "not acknowledged"}, {m.Rejected, "rejected"},
		{m.Foreign, "of another run"}, {m.GivenUp, "long waits without a message"},
	} {
		if x.n > 0 {
			more = append(more, fmt.Sprintf("%d %s", x.n, x.what))
		}
	}
	if more != nil {
		t.row("", strings.Join(more, ", "))
	}
}

func (p *Report) printProcess(t *table) {
	if b := p.Process; b != nil {
		text := fmt.Sprintf("%.2f processors", b.CPU)
		if b.PerMessage > 0 {
			text += fmt.Sprintf(", %.3g µs a delivery", b.PerMessage)
		}
		if b.ConnectCost > 0 {
			text += fmt.Sprintf(", %.3g µs a connection", b.ConnectCost)
		}
		t.row("broker", text)
		text = fmt.Sprintf("%s, peak %s, %s at the start", bytesText(b.After), bytesText(b.Peak), bytesText(b.Idle))
		if p.Slow != nil {
			text += ", " + bytesText(p.Slow.Memory) + " before the slow subscribers connected"
		}
		if b.PerConnect > 0 {
			text = fmt.Sprintf("%.0f bytes a connection; ", b.PerConnect) + text
		}
		t.row("memory", text)
	}
	if p.Held != nil {
		t.row("held", fmt.Sprintf("%.4f processors over %.3gs", p.Held.CPU, p.Held.Seconds))
	}
	t.row("generator", fmt.Sprintf("%.2f processors", p.Generator))
}

func (p *Report) printLatencies(t *table) {
	header := false
	row := func(name string, l *Latency) {
		if l == nil {
			return
		}
		if !header {
			fmt.Fprintln(t.w, "\n\tp50\tp90\tp99\tp99.9\tmax\tcount")
			header = true
		}
		t.row(name, duration(l.P50), duration(l.P90), duration(l.P99), duration(l.P999), duration(l.Max), count(l.Count))
	}
	if s := p.Slow; s != nil {
		row("delivery before", s.Calm)
		row("delivery", p.Latency)
		row("age at the slow", s.Age)
	} else {
		row("delivery", p.Latency)
	}
	row("sent late", p.Behind)
	row("acknowledgement", p.Acks)
	row("everything", p.All)
	if p.Messages == nil {
		row("CONNACK", p.Connections.Connack)
		row("ready", p.Connections.Ready)
	}
}

// duration formats microseconds with three digits.
func duration(us float64) string {
	for _, unit := range []struct {
		in   float64
		name string
	}{{1e6, "s"}, {1e3, "ms"}, {1, "µs"}} {
		if us >= unit.in {
			return strconv.FormatFloat(us/unit.in, 'g', 3, 64) + " " + unit.name
		}
	}
	return fmt.Sprintf("%.0f ns", us*1000)
}

// perSecond formats a rate with three digits, without an exponent.
func perSecond(x float64) string {
	switch {
	case x >= 999_500:
		return strconv.FormatFloat(x/1e6, 'f', 2, 64) + " million"
	case x >= 100:
		return count(uint64(x + 0.5))
	}
	return strconv.FormatFloat(x, 'g', 3, 64)
}

// count formats a number with commas.
func count(n uint64) string {
	text := strconv.FormatUint(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

func bytesText(n uint64) string {
	if n < 1<<20 {
		return fmt.Sprintf("%.0f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}
