package jwt

import (
	"errors"
	"log/slog"
	"sync/atomic"
)

// issuer is an Issuer with its keys.
type issuer struct {
	Issuer
	fixed []Key // keys of sources that do not change by themselves
	live  []LiveKeys
	ring  atomic.Pointer[keyring] // fixed and live keys together
}

// newIssuer asks the issuer's sources. It does not set ring.
func newIssuer(of Issuer) (*issuer, error) {
	i := &issuer{Issuer: of}
	var errs []error
	for _, source := range of.Keys {
		if live, ok := source.(LiveKeys); ok {
			i.live = append(i.live, live)
			continue
		}
		keys, err := source.Keys()
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, k := range keys {
			if err := i.add(k); err != nil {
				errs = append(errs, err)
			}
		}
	}
	if len(i.fixed) == 0 && len(i.live) == 0 && len(errs) == 0 {
		errs = append(errs, errors.New("no key; configure a secret or a file with a public key"))
	}
	return i, errors.Join(errs...)
}

func (i *issuer) add(k Key) (err error) {
	k, err = k.Complete()
	if err == nil {
		err = checkUnique(i.fixed, k)
	}
	if err == nil {
		i.fixed = append(i.fixed, k)
	}
	return err
}

// failing reports whether the last read of a source failed.
func (i *issuer) failing() bool {
	for _, source := range i.live {
		if f, ok := source.(interface{ Failing() bool }); ok && f.Failing() {
			return true
		}
	}
	return false
}

// renew builds a ring of the present keys. It logs and omits invalid live keys.
func (i *issuer) renew(log *slog.Logger) {
	keys := i.fixed[:len(i.fixed):len(i.fixed)]
	for _, source := range i.live {
		found, err := source.Keys()
		if err != nil {
			log.Error("token keys cannot be read", "issuer", i.Name, "error", err)
			continue
		}
		for _, k := range found {
			k, err := k.Complete()
			if err == nil {
				err = checkUnique(keys, k)
			}
			if err != nil {
				log.Warn("token key ignored", "issuer", i.Name, "error", err)
				continue
			}
			keys = append(keys, k)
		}
	}
	i.ring.Store(&keyring{keys})
}
