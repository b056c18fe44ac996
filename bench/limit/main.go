// Command limit is a lower bound of a broker's cost, to compare real brokers with. It accepts every client and
// subscription, and forwards a publisher's bytes to the subscribers of its topic: each read becomes one write to each
// subscriber, from the same buffer. It decodes nothing, stores nothing, and ends the whole process at any error. It
// supports enough MQTT 3.1.1 at QoS 0 over TCP for outcry bench:
//
//	limit --threads 2 & outcry bench fanout --subscribers 1000 -V 4 --pid $!
//	limit & outcry bench pairs --clients 100 -V 4 --rate 2000 --pid $!
package main

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
)

func main() {
	tcp := flag.String("tcp", "127.0.0.1:1883", "address")
	threads := flag.Int("threads", 1, "threads; each has an equal share of the connections")
	flag.Parse()
	if err := serve(*tcp, *threads); err != nil {
		fmt.Fprintln(os.Stderr, "limit:", err)
		os.Exit(1)
	}
}

func serve(address string, threads int) error {
	if threads < 1 {
		return fmt.Errorf("--threads %d: want 1 or more", threads)
	}
	debug.SetGCPercent(-1)          // nothing is allocated once all clients are connected
	runtime.GOMAXPROCS(threads + 2) // the threads keep their processors while they wait
	ln, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("listen: %w; choose another address with --tcp", err)
	}
	var loops []*loop
	all := &topics{audiences: map[string][]*audience{}}
	for range threads {
		l, err := newLoop(all)
		if err != nil {
			return err
		}
		loops = append(loops, l)
		go l.run()
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	go func() { <-stop; _ = ln.Close() }()
	for n := 0; ; n++ {
		c, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		fd, err := descriptor(c.(*net.TCPConn))
		if err != nil {
			return err
		}
		l := loops[n%threads]
		l.post(func() { l.add(fd) })
	}
}

// descriptor takes the descriptor out of Go's poller.
func descriptor(c *net.TCPConn) (fd int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, err
	}
	if err := raw.Control(func(old uintptr) { fd, err = duplicate(int(old)) }); err != nil {
		return -1, err
	}
	_ = c.Close()
	return fd, err
}
