package guard

import "hash/maphash"

// Enter counts a connection of a user. Instead is the number of the user's connections that end in its favour. If
// counted is true, call Exit when the connection is closed.
func (g *Guard) Enter(user string, instead int) (counted bool, reached Limit) {
	most := g.rules.Load().MaxPerUser
	if most <= 0 || user == "" {
		return false, None
	}
	s := g.stripeOf(user)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users[user]-instead >= most {
		return false, UserConnections
	}
	s.users[user]++
	return true, None
}

// JoinUser counts an established connection of a user as Enter does, whatever the limit is.
func (g *Guard) JoinUser(user string) (counted bool) {
	if g.rules.Load().MaxPerUser <= 0 || user == "" {
		return false
	}
	s := g.stripeOf(user)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users[user]++
	return true
}

// Exit removes a connection counted by Enter or JoinUser.
func (g *Guard) Exit(user string) {
	s := g.stripeOf(user)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users[user]--; s.users[user] <= 0 {
		delete(s.users, user)
	}
}

func (g *Guard) stripeOf(user string) *stripe {
	return &g.stripes[maphash.String(g.seed, user)%stripes]
}
