package broker_test

import "time"

// advance lets time pass, and sessions end that were offline for too long.
func (w *world) advance(by time.Duration) {
	if w.uneasy() {
		return
	}
	w.passed.Add(int64(by))
	w.b.Advance(by)
	w.expire()
}

func (w *world) expire() {
	for name, s := range w.accounts {
		if s.online || s.expiry < 0 {
			continue
		}
		over := w.now() >= s.endsAt
		if !over && s.mayEnd != 0 && w.now() >= s.mayEnd {
			over = !w.disk.has(w.devices[name].id)
		}
		if over {
			w.end(name)
		}
	}
	w.publishWills()
}

// change changes how the disk works.
func (w *world) change(st step) {
	switch {
	case st.verb == "stall" && !w.uneasy():
		w.stalled = true
		w.disk.stall(st.n["after"])
	case st.verb == "flow" && w.stalled:
		w.stalled = false
		w.disk.flow()
	case st.verb == "fail" && !w.uneasy():
		w.failing = true
		w.disk.setFail(errDiskFull)
	case st.verb == "heal" && w.failing:
		w.failing = false
		w.disk.setFail(nil)
		w.passed.Add(int64(seconds(2)))
		w.b.Advance(seconds(2)) // what nobody waits for is tried again
		for w.b.StoreFails() {
			time.Sleep(time.Millisecond) // the answer is on its way
		}
	default:
		return
	}
	if !w.uneasy() {
		for _, s := range w.accounts {
			if s.oldEnd = 0; s.online {
				s.mayEnd = 0
			}
		}
	}
}

// restart ends the broker, in good order or not, and starts another on what there is on the disk. The sessions of a broker
// that has crashed were online until the next one started, as far as that knows.
func (w *world) restart(st step) error {
	uneasy := w.uneasy()
	if st.verb == "crash" {
		w.crash(uneasy)
	} else if uneasy {
		return nil
	} else if err := w.shutDown(); err != nil {
		return err
	}
	if err := w.stop(); err != nil {
		return err
	}
	if !uneasy {
		w.passed.Add(int64(seconds(st.n["down"])))
	}
	w.loseAll(uneasy)
	for _, s := range w.accounts {
		s.forgetMissed()
	}
	if err := w.start(); err != nil {
		return err
	}
	w.passed.Add(int64(modelGrace))
	w.b.Advance(modelGrace)
	w.expire()
	return nil
}

// loseAll notes that the broker has gone.
func (w *world) loseAll(uneasy bool) {
	for _, s := range w.accounts {
		if s.online {
			s.lose(w.now(), uneasy)
			w.depart(s, true)
		}
	}
	for name, s := range w.accounts {
		if s.expiry == 0 {
			w.end(name)
		}
	}
}

// crash leaves to the next broker only what is on the disk.
func (w *world) crash(uneasy bool) {
	old := w.disk
	w.disk = old.afterCrash()
	defer old.flow() // so that the broker that is dead can end
	w.stalled, w.failing = false, false
	for name, d := range w.devices {
		d.close()
		if s := w.accounts[name]; s != nil && !s.durable {
			w.vanish(s)
		} else if s != nil {
			s.crash(uneasy)
		}
	}
}
