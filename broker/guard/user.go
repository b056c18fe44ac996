package guard

import "hash/maphash"

// Enter counts a connection of a user. Instead is how many of the user's connections end for it. If it says that it has
// counted it, Exit must be called when the connection is gone.
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

// JoinUser counts a connection of a user that is there, whatever the limit is, as Enter does.
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

// Exit takes a connection of a user away that Enter or JoinUser has counted.
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
