package broker

import (
	"context"
	"slices"

	"github.com/outcry-mqtt/outcry/broker/storage"
	"github.com/outcry-mqtt/outcry/internal/wire"
)

// ErrNoSession is storage.ErrNoSession, for programs that call Broker.DropSession.
var ErrNoSession = storage.ErrNoSession

// DropSession ends a stored session for the operator. It closes the connection with reason code 0x98 and does not publish the will.
// Queued messages are lost, except that those of shared subscriptions go to other members. It returns when the store has deleted
// the session, or with ErrNoSession, ErrClosed, ctx's error or the store's.
func (b *Broker) DropSession(ctx context.Context, clientID string) error {
	done := make(chan error, 1)
	post := call(func(s *shard) { s.dropSession(clientID, func(err error) { done <- err }) })
	if !b.owner(clientID).post(post) {
		return ErrClosed
	}
	select {
	case err := <-done:
		return err
	case <-b.life.done:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// dropSession calls done when the store has deleted the session, or with the error. A failed store is tried again.
func (s *shard) dropSession(id string, done func(error)) {
	ss := s.sessions[id]
	if ss == nil || ss.durable == nil {
		done(ErrNoSession)
		return
	}
	s.wills.owed = slices.DeleteFunc(s.wills.owed, func(p publishedWill) bool {
		if p.ss != ss {
			return false
		}
		s.wills.owedBytes -= p.w.message.size()
		p.w.owed = false
		return true
	})
	s.dropLate(ss)
	ss.replaceWill(nil)
	ss.expiry = 0
	if c := ss.conn; c != nil {
		c.closeWith(closeAdmin, wire.AdministrativeAction, "the operator has dropped the session")
	} else {
		ss.end()
	}
	ss.whenForgotten(done)
}
