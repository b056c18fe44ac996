package passwd

// Occupy takes a verification slot until release is called.
func (a *Authenticator) Occupy() (release func()) {
	a.slots <- struct{}{}
	return func() { <-a.slots }
}

// DecoyFor returns the user whose hash an unknown name costs.
func (a *Authenticator) DecoyFor(name string) string {
	return a.current.Load().decoy(a.mac("decoy", name, nil)).identity.User
}
