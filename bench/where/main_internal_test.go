package main

import (
	"strings"
	"testing"
)

const traces = `File: outcry
Type: cpu
-----------+-------------------------------------------------------
      10ms   runtime.memmove
             github.com/outcry-mqtt/outcry/internal/wire.AppendPublish
             github.com/outcry-mqtt/outcry/broker.(*encoder).frame
             github.com/outcry-mqtt/outcry/broker.(*shard).run
-----------+-------------------------------------------------------
     1.20s   internal/runtime/syscall/linux.Syscall6
             syscall.RawSyscall
             github.com/outcry-mqtt/outcry/internal/poller.WriteFD (inline)
             github.com/outcry-mqtt/outcry/broker.(*conn).flush
-----------+-------------------------------------------------------
      20ms   runtime.gcDrain
             runtime.gcAssistAlloc
             runtime.mallocgc
             github.com/outcry-mqtt/outcry/broker.(*message).keep
-----------+-------------------------------------------------------
      30ms   github.com/outcry-mqtt/outcry/internal/wire.AppendAck
             github.com/outcry-mqtt/outcry/broker.(*conn).onPublish
-----------+-------------------------------------------------------
      40ms   runtime.futex
`

func TestWhere(t *testing.T) {
	spent, err := read(strings.NewReader(traces))
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	show(&text, spent)
	want := ` 92.3%      1.2s  kernel: writing to sockets
  3.1%      40ms  Go's scheduler, and everything else
  2.3%      30ms  acknowledge
  1.5%      20ms  collect garbage
  0.8%      10ms  deliver: encode, outboxes, in-flight windows
            1.3s  in all
`
	if text.String() != want {
		t.Errorf("%s\nwant\n%s", text.String(), want)
	}
}

func TestWhereOfSomethingElse(t *testing.T) {
	if _, err := read(strings.NewReader("-----------+---\nabout ten seconds\n")); err == nil {
		t.Error("no error")
	}
	if spent, err := read(strings.NewReader("flat  flat%\n")); err != nil || len(spent) > 0 {
		t.Errorf("%v, %v", spent, err)
	}
}
