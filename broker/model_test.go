package broker_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

var (
	modelSeed  = flag.Uint64("model.seed", 0, "play only the sequence of this seed in TestModel; 0: the first seeds")
	modelRuns  = flag.Int("model.runs", 0, "how many new sequences TestModel plays; 0: the first 60 seeds")
	modelSteps = flag.Int("model.steps", 60, "how many steps a sequence has")
)

// firstSeeds is how many sequences TestModel plays by default. They are the same in each run, so that its result depends on the
// broker alone; -model.runs finds new ones.
const firstSeeds = 60

// TestModel plays random sequences of steps, and shows the shortest that it finds of one that fails.
func TestModel(t *testing.T) {
	t.Parallel()
	if *modelSeed != 0 {
		playSeed(t, *modelSeed)
		return
	}
	seed, runs := func(n int64) uint64 { return uint64(n) }, int64(firstSeeds)
	if *modelRuns > 0 {
		seed, runs = func(int64) uint64 { return rand.Uint64() }, int64(*modelRuns)
	}
	var last atomic.Int64
	var players sync.WaitGroup
	for range 4 { // they wait more than they work
		players.Go(func() {
			for n := last.Add(1); n <= runs && !t.Failed(); n = last.Add(1) {
				playSeed(t, seed(n))
			}
		})
	}
	players.Wait()
}

func playSeed(t *testing.T, seed uint64) {
	t.Helper()
	steps := generate(&random{rand.New(rand.NewPCG(seed, 0)), *modelSteps})
	if _, err := play(steps, raw.Patience); err != nil {
		t.Errorf("seed %d (repeat with -model.seed=%[1]d -model.steps=%d): %v", seed, *modelSteps, err)
		report(t, steps)
	}
}

// random is a source of so many steps.
type random struct {
	*rand.Rand
	steps int
}

func (r *random) draw(n int) int { return r.IntN(n) }

func (r *random) more() bool {
	r.steps--
	return r.steps >= 0
}

// report makes a sequence that fails as short as it gets, and shows it.
func report(t *testing.T, steps []step) {
	t.Helper()
	steps = shrink(steps)
	trace, err := play(steps, time.Second)
	if err == nil {
		t.Errorf("it does not always fail; not made shorter than:\n%s", format(steps))
		return
	}
	t.Errorf("the shortest (a file of it belongs into testdata/model):\n%s\n%v\n%s", format(steps), err, strings.Join(trace, "\n"))
}

// shrinkFor is how long a sequence that fails is made shorter.
const shrinkFor = 30 * time.Second

// shrink leaves out steps, many at a time and then fewer, as long as the sequence fails.
func shrink(steps []step) []step {
	end := time.Now().Add(shrinkFor)
	for size := len(steps) / 2; size > 0; {
		smaller := false
		for at := 0; at+size <= len(steps) && time.Now().Before(end); {
			less := slices.Delete(slices.Clone(steps), at, at+size)
			if _, err := play(less, time.Second); err == nil {
				at += size
				continue
			}
			steps, smaller = less, true
		}
		if !smaller || size > 1 {
			size /= 2
		}
	}
	return steps
}

// TestModelCorpus plays every sequence that was worth keeping.
func TestModelCorpus(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/model/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no sequences: %v", err)
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			steps := readSteps(t, name)
			if trace, err := play(steps, raw.Patience); err != nil {
				t.Errorf("%v\n%s", err, strings.Join(trace, "\n"))
			}
		})
	}
}

func readSteps(t testing.TB, name string) []step {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	steps, err := parseSteps(string(text))
	if err != nil {
		t.Fatal(fmt.Errorf("%s: %w", name, err))
	}
	return steps
}

// FuzzModel has the fuzzer choose the steps.
func FuzzModel(f *testing.F) {
	for seed := range uint64(16) {
		r := rand.New(rand.NewPCG(seed, 1))
		bytes := make([]byte, 200)
		for i := range bytes {
			bytes[i] = byte(r.Uint32())
		}
		f.Add(bytes)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		steps := generate((*chosen)(&data))
		if _, err := play(steps, raw.Patience); err != nil {
			t.Error(err)
			report(t, steps)
		}
	})
}

// chosen is a source that takes a byte for every decision.
type chosen []byte

func (c *chosen) draw(n int) int {
	if len(*c) == 0 {
		return 0
	}
	b := (*c)[0]
	*c = (*c)[1:]
	return int(b) % n
}

func (c *chosen) more() bool { return len(*c) > 0 }
