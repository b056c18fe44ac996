package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/outcry-mqtt/outcry/tests/crash/client"
	"github.com/outcry-mqtt/outcry/tests/crash/history"
	"github.com/outcry-mqtt/outcry/tests/crash/victim"
)

// errBroken means that the broker broke a guarantee.
var errBroken = errors.New("the broker broke a guarantee")

// stopPatience bounds the broker's start, and its end after SIGTERM.
const stopPatience = time.Minute

// trial is one run.
type trial struct {
	*settings
	out      io.Writer
	folder   string // for all files of the run
	random   *rand.Rand
	victim   *victim.Victim
	log      *history.Log
	stage    *client.Stage
	workload *workload
	display  *display

	failure diskFailure

	round  int
	life   *victim.Life
	starts []time.Duration // durations from start to ready
	kills  kills
}

// kills counts the ways in which the broker was ended.
type kills struct{ running, starting, stopping, orderly int }

// killed returns the number of ends by SIGKILL.
func (k kills) killed() int { return k.running + k.starting + k.stopping }

// run runs a trial. It keeps the folder of a failed trial.
func run(ctx context.Context, s *settings, out io.Writer) error {
	folder, err := os.MkdirTemp("", "outcry-crash-")
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "crash: seed %d, %d kills, %d clients, in %s\n", s.seed, s.rounds, s.clients, folder)
	trace, err := os.Create(filepath.Join(folder, traceFile))
	if err != nil {
		return err
	}
	t := newTrial(s, out, folder, trace)
	err = t.prepare(ctx)
	if err == nil {
		err = t.perform(ctx)
	}
	err = errors.Join(err, t.log.Flush(), trace.Close())
	err = errors.Join(err, t.verdict())
	err = errors.Join(err, t.failure.end(t, err != nil))
	if err == nil {
		return os.RemoveAll(folder)
	}
	fmt.Fprintf(out, "crash: seed %d; the trace, the broker's log and its data are kept in %s\n", s.seed, folder)
	return err
}

func newTrial(s *settings, out io.Writer, folder string, trace io.Writer) *trial {
	t := &trial{settings: s, out: out, folder: folder, random: rand.New(rand.NewPCG(s.seed, 0)),
		log: history.New(trace), stage: client.NewStage(), display: newDisplay(out), failure: noFailure{}}
	t.victim = &victim.Victim{Binary: s.outcry, Folder: folder, Data: filepath.Join(folder, "data"), Args: s.args}
	t.workload = newWorkload(s.seed, s.clients, t.stage, t.log)
	return t
}

// prepare builds or finds the program, and prepares its disk.
func (t *trial) prepare(ctx context.Context) error {
	switch t.disk {
	case diskFull:
		f, err := newFullDisk(t)
		if err != nil {
			return err
		}
		t.failure = f
	case diskErrors:
		f := newFailingDisk(t.seed)
		t.failure, t.victim.Start = f, f.faults.Start
	}
	if t.outcry != "" {
		path, err := filepath.Abs(t.outcry)
		t.victim.Binary = path
		return err
	}
	t.victim.Binary = filepath.Join(t.folder, "outcry")
	return build(ctx, t.victim.Binary)
}

// build builds the broker.
func build(ctx context.Context, path string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", path, "github.com/outcry-mqtt/outcry/cmd/outcry")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the broker: %w\n%s", err, text)
	}
	return nil
}

// perform lets the clients work while the broker is killed, and then waits for all outstanding deliveries.
func (t *trial) perform(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer t.workload.wait()
	defer cancel()
	defer t.killLast()
	if err := t.begin(ctx); err != nil {
		return err
	}
	if err := t.ready(ctx); err != nil {
		return err
	}
	t.stage.Address = t.victim.Address("tcp")
	t.workload.start(ctx)
	if err := t.killRepeatedly(ctx); err != nil {
		return err
	}
	return t.finish(ctx)
}

// killLast kills the last broker.
func (t *trial) killLast() {
	if t.life != nil {
		t.life.Kill()
	}
}
