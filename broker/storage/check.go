package storage

import "fmt"

// Check reads all records of a store and calls problem with each one that a broker could not be restored from. It returns an
// error if Load fails by itself.
func Check(from Loader, problem func(error)) error {
	c := &check{sessions: make(map[uint64]string)}
	for _, part := range []struct {
		space Space
		kind  string
		check func(key string, value []byte) error
	}{
		{SpaceNotes, "note", c.note},
		{SpaceRetained, "retained message", c.retained},
		{SpaceSessions, "session", c.session},
		{SpaceSubscriptions, "subscription", c.subscription},
		{SpaceFlows, "flow", c.flow},
		{SpaceMessages, "message", c.message},
	} {
		err := from.Load(part.space, func(key string, value []byte) error {
			if err := part.check(key, value); err != nil {
				problem(fmt.Errorf("%s %q: %w", part.kind, key, err))
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// check is one check. Records that nobody needs any more are no problem: a broker that starts deletes them.
type check struct {
	sessions map[uint64]string // client identifiers by the sessions' numbers
	one      Message           // the last one, for its memory
}

func (c *check) note(key string, value []byte) error {
	if key != ClockKey {
		return nil
	}
	return new(Clock).Parse(key, value)
}

func (c *check) retained(key string, value []byte) error { return new(Retained).Parse(key, value) }

func (c *check) session(key string, value []byte) error {
	var s Session
	if err := s.Parse(key, value); err != nil {
		return err
	}
	if other, taken := c.sessions[s.Number]; taken {
		return fmt.Errorf("has the same number %d as %q", s.Number, other)
	}
	c.sessions[s.Number] = key
	return nil
}

func (c *check) subscription(key string, value []byte) error {
	return new(Subscription).Parse(key, value)
}

func (c *check) flow(key string, value []byte) error {
	var f Flow
	if err := f.Parse(key, value); err != nil {
		return err
	}
	ids := make(map[uint16]bool, len(f.Outgoing))
	for _, o := range f.Outgoing {
		if ids[o.ID] {
			return fmt.Errorf("packet identifier %d is in use twice", o.ID)
		}
		ids[o.ID] = true
	}
	return nil
}

func (c *check) message(key string, value []byte) error { return c.one.Parse(key, value) }
