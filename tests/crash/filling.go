package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
	"github.com/outcry-mqtt/outcry/tests/crash/client"
	"github.com/outcry-mqtt/outcry/tests/crash/disk"
	"github.com/outcry-mqtt/outcry/tests/crash/history"
)

const (
	smallDisk = 256 << 20 // bytes
	fillTopic = "fill/it"
)

// filling fills the disk up at times: a ballast file takes the room that there is, and a feeder publishes to a hoarder
// that is away, until the broker has no room left within its own file either.
type filling struct {
	small   string // where a file system is mounted; "": a limit of the process's file sizes stands in for it
	ballast string
	store   string
	pid     int // of the process that is limited; 0: none

	feederIdle, hoarderIdle atomic.Bool

	full                    bool
	times, started, emptied int
}

// inside runs the program again in a mount namespace of its own.
func inside(ctx context.Context, s *settings, out io.Writer) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, self, append([]string{disk.CommandInside, "--seed", fmt.Sprint(s.seed)}, s.self...)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.Stdout, cmd.Stderr = out, out
	if err := disk.Inside(cmd); err != nil {
		return err
	}
	return cmd.Wait()
}

// newFilling makes a small file system for the broker's data, and the feeder and the hoarder.
func newFilling(t *trial) (*filling, error) {
	f := &filling{}
	if t.inside {
		f.small = filepath.Join(t.folder, "small")
		if err := disk.Mount(f.small, smallDisk); err != nil {
			return nil, err
		}
		t.victim.Data = filepath.Join(f.small, "data")
		f.ballast = filepath.Join(f.small, "ballast")
	}
	f.store = filepath.Join(t.victim.Data, storeFile)
	f.feederIdle.Store(true)
	options := client.Options{Stage: t.stage, Log: t.log, Version: raw.V5}
	feeder := &client.Publisher{Options: options, Random: rand.New(rand.NewPCG(t.seed, 1<<62)), Topics: []string{fillTopic},
		Window: 50, Pause: 100 * time.Microsecond, Idle: &f.feederIdle}
	feeder.ID = "feed"
	hoarder := &client.Subscriber{Options: options, Random: rand.New(rand.NewPCG(t.seed, 1<<62+1)),
		Role: client.Role{Version: raw.V5, Filters: []history.Filter{{Name: fillTopic, QoS: 1}}, Idle: &f.hoarderIdle}}
	hoarder.ID = "hoard"
	t.crew.publishers = append(t.crew.publishers, feeder)
	t.crew.subscribers = append(t.crew.subscribers, hoarder)
	return f, nil
}

func (f *filling) begin() {
	if f.small == "" {
		f.full = false // the limit was the last process's
	}
	if f.full {
		f.started++
	}
}

// strike fills the disk up in some lives. Then there is room again after a while; or the broker is killed, and has to
// start with a full disk.
func (f *filling) strike(ctx context.Context, t *trial) error {
	if f.full {
		return f.relent(ctx, t)
	}
	if t.random.IntN(3) == 0 {
		return nil
	}
	if err := t.watch(ctx, t.random.IntN(maxEvents)); err != nil {
		return err
	}
	if err := f.fill(ctx, t); err != nil {
		return err
	}
	if err := t.echo(ctx); err != nil {
		return err
	}
	if t.random.IntN(2) == 0 {
		return nil
	}
	return f.relent(ctx, t)
}

// fill takes all room, and waits until the broker says that it is not ready.
func (f *filling) fill(ctx context.Context, t *trial) error {
	t.log.Trace("", "the disk fills up")
	f.full = true
	f.times++
	f.hoarderIdle.Store(true)
	if err := f.takeRoom(t.life.Pid()); err != nil {
		return err
	}
	f.feederIdle.Store(false)
	defer f.feederIdle.Store(true)
	if !t.within(ctx, func() bool { return t.status(ctx) == http.StatusServiceUnavailable }) {
		return t.broken(ctx, "/readyz has status %d, although the disk is full", t.status(ctx))
	}
	t.log.Trace("", "the broker is not ready")
	return nil
}

// takeRoom takes what room there is.
func (f *filling) takeRoom(pid int) error {
	if f.small == "" {
		f.pid = pid
		return disk.Limit(pid, f.store)
	}
	file, err := os.OpenFile(f.ballast, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	for block := make([]byte, 1<<16); len(block) > 0; {
		switch _, err := file.Write(block); {
		case errors.Is(err, syscall.ENOSPC):
			block = block[:len(block)/2]
		case err != nil:
			return err
		}
	}
	return nil
}

func (f *filling) relent(ctx context.Context, t *trial) error {
	if f.full {
		t.log.Trace("", "there is room again")
		if err := f.giveRoom(); err != nil {
			return err
		}
		f.full = false
		f.emptied++
	}
	err := t.recovered(ctx)
	f.hoarderIdle.Store(false)
	return err
}

func (f *filling) giveRoom() error {
	if f.small == "" {
		return disk.Lift(f.pid)
	}
	return os.Remove(f.ballast)
}

// echo sees that QoS 0 goes on, whatever the disk is like.
func (t *trial) echo(ctx context.Context) error {
	probe := client.Options{ID: "probe", Version: raw.V5, Stage: t.stage, Log: t.log}
	ctx2, cancel := context.WithTimeout(ctx, t.patience)
	defer cancel()
	if err := probe.Echo(ctx2, "probe"); err != nil {
		return t.broken(ctx, "a QoS 0 message did not come back while the disk was full: %v", err)
	}
	return nil
}

// end takes the small file system away. What is kept of a run that failed is copied from it before.
func (f *filling) end(t *trial, failed bool) (err error) {
	if f.small == "" {
		return nil
	}
	if failed {
		err = os.CopyFS(filepath.Join(t.folder, "data"), os.DirFS(t.victim.Data))
	}
	return errors.Join(err, disk.Unmount(f.small))
}

func (f *filling) summary() string {
	how := "a limit of file sizes"
	if f.small != "" {
		how = "a small file system in memory"
	}
	return fmt.Sprintf("full %d times, by %s; %d starts with a full disk; room again %d times", f.times, how, f.started, f.emptied)
}
