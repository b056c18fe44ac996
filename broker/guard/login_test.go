package guard_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker/guard"
)

// logins is a server whose users all have the password "right".
type logins struct {
	*guard.Guard
	checks int // number of passwords checked
}

func newLogins(o guard.Options) *logins { return &logins{Guard: guard.New(o)} }

// try logs in with a password. held means that the guard refused the check.
func (d *logins) try(remote, user, client, password string, now int64) (in, held bool) {
	a := &guard.Attempt{Remote: remote, User: user, Client: client, Secret: []byte(password)}
	if d.Login(a, now) != guard.None {
		return false, true
	}
	d.checks++
	if password != "right" {
		d.LoginFailed(a, now)
		return false, false
	}
	d.LoginSucceeded(a, now)
	return true, false
}

// Guesses for one user from one address double the wait each.
func TestGuessesBackOff(t *testing.T) {
	g := newLogins(guard.Options{FailedLogins: 3, LoginWait: time.Second, LoginMaxWait: 8 * time.Second, LoginForgiven: time.Minute})
	const remote = "192.0.2.1:1"
	now, guess := 10*second, 0
	try := func(at int64) (held bool) {
		guess++
		_, held = g.try(remote, "ann", "", fmt.Sprint(guess), at)
		return held
	}
	for range 3 {
		if try(now) {
			t.Fatalf("guess %d is held off", guess)
		}
	}
	for _, wait := range []int64{1, 2, 4, 8, 8, 8} {
		if !try(now + wait*second - 1) {
			t.Errorf("it does not have to wait for %d s", wait)
		}
		now += wait * second
		if try(now) {
			t.Errorf("it has to wait for more than %d s", wait)
		}
	}
	if in, _ := g.try("192.0.2.2:1", "ann", "", "right", now); !in {
		t.Error("ann has to wait at another address")
	}
	if in, _ := g.try(remote, "bob", "", "right", now); !in {
		t.Error("bob has to wait at the same address")
	}
	for range 2 {
		if try(now + 61*second) {
			t.Error("failures of long ago count")
		}
	}
}

func TestManyFailuresDoNotOverflow(t *testing.T) {
	g := guard.New(guard.Options{FailedLogins: 1})
	a := &guard.Attempt{Remote: "192.0.2.1:1", User: "ann"}
	for range 200 {
		g.LoginFailed(a, 0)
	}
	if g.Login(a, 60*second-1) != guard.FailedLogins || g.Login(a, 60*second) != guard.None {
		t.Error("the wait is not a minute")
	}
}

// A device with an old password is held off and blocks nobody: neither others at its address, nor others with its
// user name.
func TestOldPasswordIsInNobodysWay(t *testing.T) {
	for _, devices := range []int{1, 40} {
		g := newLogins(guard.Options{FailedLogins: 10})
		const remote = "192.0.2.1:1"
		held := 0
		for now := second; now < 600*second; now += 2 * second {
			for i := range devices {
				if _, off := g.try(remote, fmt.Sprint("user-", i), fmt.Sprint("old-", i), fmt.Sprint("old-", i), now); off {
					held++
				}
			}
			if now < 60*second && devices > 1 {
				continue // until the guard knows that their passwords are right
			}
			for i, user := range []string{"user-0", "ann", fmt.Sprint("new-", now)} {
				if in, _ := g.try(remote, user, fmt.Sprint("good-", i, now), "right", now); !in {
					t.Fatalf("%d devices: %s is kept out after %v", devices, user, time.Duration(now))
				}
			}
		}
		if held < devices*250 {
			t.Errorf("%d devices are held off %d times of 300 each", devices, held)
		}
	}
}

// Guesses are bounded by user and address, by address, and by user.
func TestGuessesAreBounded(t *testing.T) {
	const n, seconds, perSecond = 10, 900, 10
	for _, tt := range []struct {
		name string
		of   func(i int) (remote, user, client string)
		most int
	}{
		{"one user from one address", func(i int) (string, string, string) { return "192.0.2.1:1", "ann", fmt.Sprint(i) }, n + 6 + seconds/60},
		{"many users from one address", func(i int) (string, string, string) {
			return "192.0.2.1:1", fmt.Sprint("user-", i%2000), "c"
		}, 3*n + seconds},
		{"one user from many addresses", func(i int) (string, string, string) {
			return fmt.Sprintf("192.0.%d.%d:1", i%2000/250, i%250), "ann", "c"
		}, 10*n + seconds},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newLogins(guard.Options{FailedLogins: n})
			for i := range seconds * perSecond {
				remote, user, client := tt.of(i)
				g.try(remote, user, client, fmt.Sprint("guess-", i), second+int64(i)*second/perSecond)
			}
			if g.checks > tt.most+1 || g.checks < tt.most/2 {
				t.Errorf("%d guesses were checked, want about %d", g.checks, tt.most)
			}
		})
	}
}

// A recent login protects a user from strangers: guesses from the same address do not hold the user off, nor do guesses from elsewhere,
// nor, with the client identifier, both.
func TestWhoSucceededHasAnAllowance(t *testing.T) {
	const here = "192.0.2.1:1"
	for _, tt := range []struct {
		name   string
		attack func(i int) (remote, user string)
		client string // client identifier of ann when she comes back
	}{
		{"users from her address", func(i int) (string, string) { return here, fmt.Sprint("user-", i) }, "any"},
		{"herself from elsewhere", func(i int) (string, string) { return fmt.Sprintf("198.51.%d.%d:1", i/250, i%250), "ann" }, "any"},
		{"herself from her address", func(int) (string, string) { return here, "ann" }, "hers"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newLogins(guard.Options{FailedLogins: 5})
			g.try(here, "ann", "hers", "right", second)
			for i := range 2000 {
				remote, user := tt.attack(i)
				g.try(remote, user, "attacker", fmt.Sprint("guess-", i), 2*second)
			}
			remote, user := tt.attack(7)
			if _, held := g.try(remote, user, "attacker", "another guess", 2*second); !held {
				t.Fatal("the attack is not held off")
			}
			if in, _ := g.try(here, "ann", tt.client, "right", 2*second); !in {
				t.Error("ann is kept out")
			}
			before := g.checks
			for i := range 100 {
				g.try(here, "ann", tt.client, fmt.Sprint("guess-", i), 2*second)
			}
			if n := g.checks - before; n > 5 {
				t.Errorf("%d guesses within her allowance, want 5", n)
			}
		})
	}
}

// Forged tokens count against their address, and affect no password login.
func TestForgedProofs(t *testing.T) {
	g := newLogins(guard.Options{FailedLogins: 3})
	const here = "192.0.2.1:1"
	for i := range 1000 {
		want := guard.None
		if i >= 3 {
			want = guard.FailedLogins
		}
		if got := g.ProofFailed(here, second); got != want {
			t.Fatalf("token %d: %d, want %d", i, got, want)
		}
	}
	if g.ProofFailed("192.0.2.2:1", second) != guard.None {
		t.Error("another address is held off")
	}
	if in, _ := g.try(here, "ann", "", "right", second); !in {
		t.Error("ann's password is held off")
	}
	if g.ProofFailed(here, 20*second) != guard.None {
		t.Error("it is held off for ever")
	}
}

// A waiting user stays held off while others fill the guard's memory.
func TestWhoAsksInVainIsNotForgotten(t *testing.T) {
	g := guard.New(guard.Options{FailedLogins: 1, MaxRemembered: 1024})
	ann := &guard.Attempt{Remote: "192.0.2.1:1", User: "ann"}
	g.LoginFailed(ann, 0)
	for i := range 100_000 {
		g.LoginFailed(&guard.Attempt{Remote: fmt.Sprintf("[2001:db8:%x:%x::1]:1", i>>16, i&0xffff), User: fmt.Sprint(i)}, 0)
		if i%100 == 0 && g.Login(ann, second/2) != guard.FailedLogins {
			t.Fatalf("forgotten after %d others", i)
		}
	}
}

// TestLongWaitsDoNotOverflow doubles a wait beyond the range of a Duration.
func TestLongWaitsDoNotOverflow(t *testing.T) {
	g := guard.New(guard.Options{FailedLogins: 1, LoginWait: time.Hour, LoginMaxWait: 24 * time.Hour, LoginForgiven: 365 * 24 * time.Hour})
	guess := func(n int) *guard.Attempt {
		return &guard.Attempt{Remote: "192.0.2.1:1", User: "ann", Secret: []byte(fmt.Sprint(n))}
	}
	for n := range 80 {
		g.LoginFailed(guess(n), 1)
		if n > 10 && g.Login(guess(n+1), int64(23*time.Hour)) == guard.None {
			t.Fatalf("after %d failures nobody waits", n+1)
		}
	}
}
