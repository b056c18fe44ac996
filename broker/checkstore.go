package broker

import "fmt"

// CheckStore reads what a broker keeps in a store, whole, and calls problem with each record that it could not be restored
// from. load is a Store's Load, or one that reads a copy. It returns an error if load fails by itself.
func CheckStore(load func(space Space, fn func(key string, value []byte) error) error, problem func(error)) error {
	b := new(Broker)
	c := &storeCheck{b: b, shard: &shard{b: b}, sessions: make(map[uint64]string)}
	for _, part := range []struct {
		space Space
		what  string
		check func(key string, value []byte) error
	}{
		{SpaceRetained, "retained message", c.retained},
		{SpaceSessions, "session", c.session},
		{SpaceSubscriptions, "subscription", c.subscription},
		{SpaceFlows, "flow", c.flow},
		{SpaceMessages, "message", c.message},
	} {
		err := load(part.space, func(key string, value []byte) error {
			if err := part.check(key, value); err != nil {
				problem(fmt.Errorf("%s %q: %w", part.what, key, err))
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// storeCheck is one check. Records that nobody needs any more are no problem: a broker that starts deletes them.
type storeCheck struct {
	b        *Broker
	shard    *shard
	sessions map[uint64]string // client identifiers by the sessions' numbers
}

func (c *storeCheck) retained(key string, value []byte) error {
	_, err := decodeRetained(key, value, &c.b.clock)
	return err
}

func (c *storeCheck) session(key string, value []byte) error {
	ss := &session{id: key, shard: c.shard}
	if _, err := ss.decode(value); err != nil {
		return err
	}
	if other, taken := c.sessions[ss.durable.num]; taken {
		return fmt.Errorf("has the number %d, and so has %q", ss.durable.num, other)
	}
	c.sessions[ss.durable.num] = key
	return nil
}

func (c *storeCheck) subscription(key string, value []byte) error {
	_, err := decodeSubscription(key, value)
	return err
}

func (c *storeCheck) flow(key string, value []byte) error {
	if _, ok := keyNumber(key); !ok {
		return errFlowRecord
	}
	f, err := new(session).decodeFlow(value)
	ids := make(map[uint16]bool, len(f.live))
	for _, o := range f.live {
		if ids[o.id] {
			return fmt.Errorf("packet identifier %d is in use twice", o.id)
		}
		ids[o.id] = true
	}
	return err
}

func (c *storeCheck) message(key string, value []byte) error {
	if _, ok := keyNumber(key); !ok {
		return errMessageRecord
	}
	_, targets, err := decodeMessage(value, &c.b.clock, 0)
	if err != nil {
		return err
	}
	for r := (reader{targets}); len(r.rest) > 0; {
		if r.target(); r.failed() {
			return errMessageRecord
		}
	}
	return nil
}
