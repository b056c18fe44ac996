package guard

// Remembered returns how many addresses and client identifiers are remembered, and how many addresses and users are
// counted as open.
func (g *Guard) Remembered() (addresses, clients, open int) {
	for i := range g.stripes {
		s := &g.stripes[i]
		addresses += len(s.known.young) + len(s.known.old)
		clients += len(s.clients.young) + len(s.clients.old)
		open += len(s.open) + len(s.users)
	}
	return addresses, clients, open
}
