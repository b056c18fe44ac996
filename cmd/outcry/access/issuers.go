package access

import (
	"log/slog"
	"strings"
	"sync/atomic"

	"github.com/outcry-mqtt/outcry/cmd/outcry/config"
	"github.com/outcry-mqtt/outcry/hooks/jwt"
	"github.com/outcry-mqtt/outcry/hooks/jwt/jwks"
)

// keySets holds the key sets at URLs. A set common to two configurations stays, and keeps its keys.
type keySets struct {
	log      *slog.Logger
	counters jwks.Counters
	current  atomic.Pointer[setsByOptions]
}

// setsByOptions holds sets by their options. It does not change.
type setsByOptions map[jwks.Options]*jwks.Remote

func newKeySets(log *slog.Logger) *keySets {
	k := &keySets{log: log}
	k.current.Store(&setsByOptions{})
	return k
}

// options returns the options of the configuration, and the key sets in them, for use to apply. It reads every file,
// and returns all problems.
func (k *keySets) options(c *config.Loaded) (jwt.Options, setsByOptions, config.Problems) {
	j := &c.Auth.JWT
	o := jwt.Options{Cookie: j.Cookie, Leeway: j.Leeway, AllowNoExpiry: !j.RequireExpiry, CacheSize: j.Cache, Logger: k.log}
	if o.Leeway == 0 {
		o.Leeway = -1 // none
	}
	for _, place := range j.From {
		o.From = append(o.From, jwt.Place(place))
	}
	r := issuerReader{keySets: k, loaded: c, sets: setsByOptions{}}
	if own := r.own(); len(own.Keys) > 0 {
		o.Issuers = append(o.Issuers, own)
	}
	for i := range j.Issuers {
		o.Issuers = append(o.Issuers, r.issuer(config.Item("auth.jwt.issuers", i), &j.Issuers[i]))
	}
	return o, r.sets, r.problems
}

func (k *keySets) use(sets setsByOptions) { k.current.Store(&sets) }

// reread has all sets fetched again, unless that was done recently.
func (k *keySets) reread() {
	for _, set := range *k.current.Load() {
		set.Reread()
	}
}

// failing returns the number of sets whose last fetch failed.
func (k *keySets) failing() (n int) {
	for _, set := range *k.current.Load() {
		if set.Failing() {
			n++
		}
	}
	return n
}

// issuerReader creates the issuers of a configuration.
type issuerReader struct {
	*keySets
	loaded   *config.Loaded
	sets     setsByOptions
	problems config.Problems
}

// own returns the broker's own issuer, without keys if the configuration has none for it.
func (r *issuerReader) own() jwt.Issuer {
	j := &r.loaded.Auth.JWT
	i := jwt.Issuer{
		Name: j.Issuer, Audience: j.Audience, UserClaim: j.UserClaim, RoomsClaim: j.RoomsClaim, RulesClaim: j.RulesClaim,
	}
	if path := SecretPath(&r.loaded.Config); path != "" {
		r.add(&i, "auth.jwt.secret_file", jwt.SecretFile{Path: path})
	}
	r.addKeys(&i, "auth.jwt.keys", j.Keys)
	return i
}

func (r *issuerReader) issuer(path string, of *config.Issuer) jwt.Issuer {
	j := &r.loaded.Auth.JWT
	i := jwt.Issuer{
		Name: of.Issuer, Audience: of.Audience, RulesClaim: of.RulesClaim,
		UserClaim: either(of.UserClaim, j.UserClaim), RoomsClaim: either(of.RoomsClaim, j.RoomsClaim),
	}
	r.addKeys(&i, path+".keys", of.Keys)
	if of.JWKSFile != "" {
		r.add(&i, path+".jwks_file", jwks.File{Path: of.JWKSFile, Logger: r.log})
	}
	if of.JWKSURL != "" {
		set, err := r.set(jwks.Options{URL: of.JWKSURL, AllowHTTP: of.AllowHTTP, Refresh: of.Refresh})
		if err != nil { // config.Load has checked it
			r.report(path+".jwks_url", err)
		} else {
			i.Keys = append(i.Keys, set)
		}
	}
	return i
}

func either(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

func (r *issuerReader) addKeys(i *jwt.Issuer, path string, keys []config.Key) {
	for n, k := range keys {
		if strings.HasPrefix(k.Alg, "HS") {
			r.add(i, config.Item(path, n), jwt.SecretFile{Path: k.File, Algorithm: k.Alg, ID: k.KID})
			continue
		}
		r.add(i, config.Item(path, n), jwt.KeyFile{Path: k.File, Algorithm: k.Alg, ID: k.KID})
	}
}

// add adds the present keys of a source; a reload reads them again.
func (r *issuerReader) add(i *jwt.Issuer, path string, source jwt.KeySource) {
	keys, err := source.Keys()
	if err != nil {
		r.report(path, err)
	}
	for _, k := range keys {
		i.Keys = append(i.Keys, k)
	}
}

func (r *issuerReader) report(path string, err error) {
	r.problems = append(r.problems, r.loaded.Problem(path, err.Error(), ""))
}

// set returns the key set with these options, an existing one if possible.
func (r *issuerReader) set(o jwks.Options) (*jwks.Remote, error) {
	if set := (*r.current.Load())[o]; set != nil {
		r.sets[o] = set
		return set, nil
	}
	said := o
	o.Counters, o.Logger = &r.counters, r.log
	set, err := jwks.NewRemote(o)
	if err == nil {
		r.sets[said] = set
	}
	return set, err
}
