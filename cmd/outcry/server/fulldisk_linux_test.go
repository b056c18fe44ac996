package server

import (
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
	"github.com/outcry-mqtt/outcry/cmd/outcry/outcrytest"
	"github.com/outcry-mqtt/outcry/cmd/outcry/store"
	"github.com/outcry-mqtt/outcry/tests/crash/disk"
)

// fullDisk is a broker whose store cannot grow, with the messages published to it.
type fullDisk struct {
	*outcrytest.Process
	acked int // number of messages of 500 bytes on jobs/N
}

func (d *fullDisk) dial(version byte) *raw.Client {
	d.T.Helper()
	conn, err := net.Dial("tcp", d.Addresses["tcp"])
	if err != nil {
		d.T.Fatal(err)
	}
	return raw.New(d.T, conn, version)
}

// subscriber connects a client with a durable session.
func (d *fullDisk) subscriber(qos byte) *raw.Client {
	d.T.Helper()
	c := d.dial(raw.V311)
	c.Connect(raw.Connect{Version: raw.V311, ID: fmt.Sprint("worker of QoS ", qos)})
	c.Subscribe(qos, fmt.Sprint("jobs/", qos))
	return c
}

// publish publishes to the sessions, and reports whether all was acknowledged.
func (d *fullDisk) publish(count int) bool {
	d.T.Helper()
	c := d.dial(raw.V5)
	defer c.Close()
	c.Connect(raw.Connect{Version: raw.V5, ID: "publisher", Clean: true})
	for first := 0; first < count; first += 50 {
		for i := range 50 {
			qos := byte(1 + i%2)
			p := raw.Publish{Topic: fmt.Sprint("jobs/", qos), Payload: strings.Repeat("x", 500), QoS: qos, ID: 1 + i}
			if c.TrySend(p.Bytes(raw.V5)) != nil {
				return false
			}
		}
		for left := 50; left > 0; {
			p, err := c.Read()
			switch {
			case err != nil:
				return false
			case p.Type == raw.DISCONNECT:
				if p.Code != 0x89 {
					d.T.Errorf("DISCONNECT with 0x%02x", p.Code)
				}
				return false
			case p.Type == raw.PUBACK && p.Code < 0x80:
				d.acked++
				left--
			case p.Type == raw.PUBREC && p.Code < 0x80:
				d.acked++
				c.TrySend(raw.Ack(raw.PUBREL, p.ID))
			case p.Type == raw.PUBCOMP:
				left--
			}
		}
	}
	return true
}

func (d *fullDisk) ready() bool {
	d.T.Helper()
	response, err := http.Get("http://" + d.Addresses["http"] + "/readyz")
	if err != nil {
		d.T.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// drain receives and acknowledges until no message has come for a while, and returns the number of messages.
func (d *fullDisk) drain(qos byte, enough func(int) bool) (received int) {
	d.T.Helper()
	c := d.dial(raw.V311)
	defer c.Close()
	c.Connect(raw.Connect{Version: raw.V311, ID: fmt.Sprint("worker of QoS ", qos)})
	again := raw.Subscribe{ID: 1, Filters: []raw.Filter{{Name: fmt.Sprint("jobs/", qos), Options: qos}}} // like most clients
	c.Send(again.Bytes(raw.V311))
	for !enough(received) {
		p, err := c.Read()
		if err != nil {
			d.T.Fatalf("QoS %d: %v after %d messages\n%s", qos, err, received, d.Stderr)
		}
		switch p.Type {
		case raw.PUBLISH:
			received++
			if qos == 1 {
				c.Send(raw.Ack(raw.PUBACK, p.ID))
			} else {
				c.Send(raw.Ack(raw.PUBREC, p.ID))
			}
		case raw.PUBREL:
			c.Send(raw.Ack(raw.PUBCOMP, p.ID))
		}
	}
	return received
}

// TestFullDisk fills the store, checks that the broker reports it all the time, and then drains the queues on the
// full disk while another client publishes.
func TestFullDisk(t *testing.T) {
	d := &fullDisk{Process: outcrytest.StartServe(t, t.TempDir(), "--open")}
	d.subscriber(1).Disconnect()
	d.subscriber(2).Disconnect()
	if !d.publish(8000) {
		t.Fatal("the disk is full already")
	}
	if err := disk.Limit(d.Cmd.Process.Pid, filepath.Join(d.Cmd.Dir, "data", store.File)); err != nil {
		t.Fatal(err)
	}
	for d.publish(1_000_000) {
	}
	failures := d.Metric("outcry_store_failures_total")
	d.Until("the store has tried again", func() bool {
		if d.ready() {
			t.Fatal("/readyz says that all is well")
		}
		if d.publish(1) {
			t.Fatal("a message was acknowledged")
		}
		return d.Metric("outcry_store_failures_total") > failures+3
	})
	acked := d.acked
	var drained atomic.Bool
	others := make(chan struct{})
	go func() { // until there is room; then it has published one message
		defer close(others)
		for !drained.Load() && !d.publish(1) {
			time.Sleep(10 * time.Millisecond)
		}
	}()
	t.Logf("%d messages are to be drained", acked)
	half := func(n int) bool { return n >= acked/2 }
	d.drain(1, half)
	d.drain(2, half)
	d.Until("there is room", d.ready)
	drained.Store(true)
	<-others
	d.Until("a message is acknowledged", func() bool { return d.publish(1) })
	d.Stop()
	log := d.Stderr.String()
	if strings.Count(log, "store cannot write") != 1 || strings.Count(log, "store writes again") != 1 {
		t.Errorf("the log does not tell of one failure and one recovery:\n%s", log)
	}
}
