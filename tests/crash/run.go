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

// errBroken means that the broker has broken a promise.
var errBroken = errors.New("the broker has broken a promise")

// stopPatience is how long the broker may take to be ready, or to end after SIGTERM.
const stopPatience = time.Minute

// trial is one run.
type trial struct {
	*settings
	out     io.Writer
	folder  string // for everything that the run makes
	random  *rand.Rand
	victim  *victim.Victim
	log     *history.Log
	stage   *client.Stage
	crew    *crew
	display *display

	round  int
	life   *victim.Life
	starts []time.Duration // how long it took until the broker was ready
	kills  kills
}

// kills counts how the broker was ended.
type kills struct{ running, starting, stopping, orderly int }

// hard is the number of times that SIGKILL was what ended it.
func (k kills) hard() int { return k.running + k.starting + k.stopping }

// run runs a trial. Its folder is kept if something is wrong.
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
	t := &trial{settings: s, out: out, folder: folder, random: rand.New(rand.NewPCG(s.seed, 0)),
		log: history.New(trace), stage: client.NewStage(), display: newDisplay(out)}
	t.crew = newCrew(s.seed, s.clients, t.stage, t.log)
	err = t.prepare(ctx)
	if err == nil {
		err = t.perform(ctx)
	}
	if err = errors.Join(err, t.log.Flush(), trace.Close()); err == nil {
		err = t.verdict()
	}
	if err == nil {
		return os.RemoveAll(folder)
	}
	fmt.Fprintf(out, "crash: seed %d; the trace, the broker's log and its data are kept in %s\n", s.seed, folder)
	return err
}

// prepare gets the program that is to be killed.
func (t *trial) prepare(ctx context.Context) error {
	t.victim = &victim.Victim{Binary: t.outcry, Folder: t.folder, Data: filepath.Join(t.folder, "data"), Args: t.args}
	if t.outcry != "" {
		path, err := filepath.Abs(t.outcry)
		t.victim.Binary = path
		return err
	}
	t.victim.Binary = filepath.Join(t.folder, "outcry")
	build := exec.CommandContext(ctx, "go", "build", "-o", t.victim.Binary, "github.com/outcry-mqtt/outcry/cmd/outcry")
	if text, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the broker: %w\n%s", err, text)
	}
	return nil
}

// perform has the clients work while the broker is killed, and then waits until they have got everything.
func (t *trial) perform(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer t.crew.wait()
	defer cancel()
	defer t.killLast()
	if err := t.begin(ctx); err != nil {
		return err
	}
	if err := t.ready(ctx); err != nil {
		return err
	}
	t.stage.Address = t.victim.Address("tcp")
	t.crew.start(ctx)
	if err := t.killing(ctx); err != nil {
		return err
	}
	return t.finish(ctx)
}

// killLast makes sure that no broker is left.
func (t *trial) killLast() {
	if t.life != nil {
		t.life.Kill()
	}
}
