package guard

// Remembered returns the number of remembered addresses and client identifiers, and of addresses and users with open
// connections.
func (g *Guard) Remembered() (addresses, clients, open int) {
	for i := range g.stripes {
		s := &g.stripes[i]
		addresses += len(s.known.current) + len(s.known.previous)
		clients += len(s.clients.current) + len(s.clients.previous)
		open += len(s.open) + len(s.users)
	}
	return addresses, clients, open
}

// RememberedLogins returns the number of users, at an address and in all, with remembered failed logins, and of users
// and clients with remembered successful ones.
func (g *Guard) RememberedLogins() (guesses, trusted int) {
	for i := range g.stripes {
		s := &g.stripes[i]
		guesses += len(s.failures.current) + len(s.failures.previous)
		trusted += len(s.successes.current) + len(s.successes.previous)
	}
	return guesses, trusted
}
