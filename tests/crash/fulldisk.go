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

// fullDisk fills the disk at times: a ballast file takes the free space, and a publisher publishes to an absent subscriber
// until the broker's own file is full, too.
type fullDisk struct {
	small   string // mount point of a file system; "": a limit on file sizes simulates it
	ballast string
	store   string
	pid     int // of the limited process; 0: none

	publisherIdle, subscriberIdle atomic.Bool

	full                    bool
	times, started, emptied int
}

// runInNamespace runs the program again in a mount namespace of its own.
func runInNamespace(ctx context.Context, s *settings, out io.Writer) error {
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

// newFullDisk mounts a small file system for the broker's data, and creates the publisher and the subscriber.
func newFullDisk(t *trial) (*fullDisk, error) {
	f := &fullDisk{}
	if t.inside {
		f.small = filepath.Join(t.folder, "small")
		if err := disk.Mount(f.small, smallDisk); err != nil {
			return nil, err
		}
		t.victim.Data = filepath.Join(f.small, "data")
		f.ballast = filepath.Join(f.small, "ballast")
	}
	f.store = filepath.Join(t.victim.Data, storeFile)
	f.publisherIdle.Store(true)
	options := client.Options{Stage: t.stage, Log: t.log, Version: raw.V5}
	publisher := &client.Publisher{Options: options, Random: rand.New(rand.NewPCG(t.seed, 1<<62)), Topics: []string{fillTopic},
		Window: 50, Pause: 100 * time.Microsecond, Idle: &f.publisherIdle}
	publisher.ID = "feed"
	subscriber := &client.Subscriber{Options: options, Random: rand.New(rand.NewPCG(t.seed, 1<<62+1)),
		Role: client.Role{Version: raw.V5, Filters: []history.Filter{{Name: fillTopic, QoS: 1}}, Idle: &f.subscriberIdle}}
	subscriber.ID = "hoard"
	t.workload.publishers = append(t.workload.publishers, publisher)
	t.workload.subscribers = append(t.workload.subscribers, subscriber)
	return f, nil
}

func (f *fullDisk) begin() {
	if f.small == "" {
		f.full = false // the limit belonged to the last process
	}
	if f.full {
		f.started++
	}
}

// inject fills the disk in some lives. Either there is space again after a while, or the broker is killed and must
// start with a full disk.
func (f *fullDisk) inject(ctx context.Context, t *trial) error {
	if f.full {
		return f.recover(ctx, t)
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
	return f.recover(ctx, t)
}

// fill takes all space, and waits until the broker reports that it is not ready.
func (f *fullDisk) fill(ctx context.Context, t *trial) error {
	t.log.Trace("", "the disk fills up")
	f.full = true
	f.times++
	f.subscriberIdle.Store(true)
	if err := f.takeSpace(t.life.Pid()); err != nil {
		return err
	}
	f.publisherIdle.Store(false)
	defer f.publisherIdle.Store(true)
	if !t.within(ctx, func() bool { return t.status(ctx) == http.StatusServiceUnavailable }) {
		return t.recordFault(ctx, "/readyz has status %d, although the disk is full", t.status(ctx))
	}
	t.log.Trace("", "the broker is not ready")
	return nil
}

// takeSpace takes the free space.
func (f *fullDisk) takeSpace(pid int) error {
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

func (f *fullDisk) recover(ctx context.Context, t *trial) error {
	if f.full {
		t.log.Trace("", "the disk has free space again")
		if err := f.freeSpace(); err != nil {
			return err
		}
		f.full = false
		f.emptied++
	}
	err := t.recovered(ctx)
	f.subscriberIdle.Store(false)
	return err
}

func (f *fullDisk) freeSpace() error {
	if f.small == "" {
		return disk.Lift(f.pid)
	}
	return os.Remove(f.ballast)
}

// echo checks that QoS 0 works on any disk.
func (t *trial) echo(ctx context.Context) error {
	probe := client.Options{ID: "probe", Version: raw.V5, Stage: t.stage, Log: t.log}
	ctx2, cancel := context.WithTimeout(ctx, t.patience)
	defer cancel()
	if err := probe.Echo(ctx2, "probe"); err != nil {
		return t.recordFault(ctx, "a QoS 0 message did not come back while the disk was full: %v", err)
	}
	return nil
}

// end unmounts the small file system. It first copies the files of a failed run.
func (f *fullDisk) end(t *trial, failed bool) (err error) {
	if f.small == "" {
		return nil
	}
	if failed {
		err = os.CopyFS(filepath.Join(t.folder, "data"), os.DirFS(t.victim.Data))
	}
	return errors.Join(err, disk.Unmount(f.small))
}

func (f *fullDisk) summary() string {
	how := "a limit of file sizes"
	if f.small != "" {
		how = "a small file system in memory"
	}
	return fmt.Sprintf("full %d times, by %s; %d starts with a full disk; room again %d times", f.times, how, f.started, f.emptied)
}
