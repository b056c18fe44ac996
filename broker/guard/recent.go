package guard

// recent is a map with at most 2 × limit entries, in two generations: beyond that it forgets the entries that were not
// kept for longest. The zero value with limit set is empty.
type recent[K comparable, V any] struct {
	limit             int
	current, previous map[K]V
}

// find returns a key's value, or the zero value.
func (f *recent[K, V]) find(key K) V {
	v, _ := f.lookup(key)
	return v
}

// lookup returns a key's value and whether there is one.
func (f *recent[K, V]) lookup(key K) (v V, known bool) {
	if v, known = f.current[key]; !known {
		v, known = f.previous[key]
	}
	return v, known
}

// keep sets a key's value and makes it the newest.
func (f *recent[K, V]) keep(key K, v V) {
	if f.current == nil {
		f.current = make(map[K]V)
	}
	f.current[key] = v
	if len(f.current) > f.limit {
		f.current, f.previous = nil, f.current
	}
}
