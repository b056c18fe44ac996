package storage

import (
	"errors"
	"fmt"
	"strings"
)

// ErrNoSession means that the store has no session of a client identifier.
var ErrNoSession = errors.New("the store has no session of this client identifier")

// DropSession deletes a session from a store that no broker uses. Messages that nobody else waits for are deleted by
// the next broker that starts on it. It returns ErrNoSession if there is none, or the store's error.
func DropSession(store Store, clientID string) error {
	ops, err := dropOps(store, clientID)
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	store.Commit(ops, func(err error) { done <- err })
	if err := <-done; err != nil {
		return fmt.Errorf("drop session %q: %w", clientID, err)
	}
	return nil
}

// dropOps returns the deletions of a session's records. If the session's own record cannot be read, only that one is deleted: the next
// start deletes the others, which then belong to no session.
func dropOps(from Loader, clientID string) (ops []Op, err error) {
	var s Session
	isWhole := false
	err = from.Load(SpaceSessions, func(key string, value []byte) error {
		if key == clientID {
			ops = append(ops, Op{Space: SpaceSessions, Key: clientID, Delete: true})
			isWhole = s.Parse(key, value) == nil
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case len(ops) == 0:
		return nil, ErrNoSession
	case !isWhole:
		return ops, nil
	}
	number := NumberKey(s.Number)
	ops = append(ops, Op{Space: SpaceFlows, Key: number, Delete: true})
	err = from.Load(SpaceSubscriptions, func(key string, _ []byte) error {
		if strings.HasPrefix(key, number) {
			ops = append(ops, Op{Space: SpaceSubscriptions, Key: key, Delete: true})
		}
		return nil
	})
	return ops, err
}
