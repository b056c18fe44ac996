package guard

// fading is a map that holds twice most entries at most: when there are more, it forgets those that were not kept for the
// longest time. The zero value with most set is empty.
type fading[K comparable, V any] struct {
	most       int
	young, old map[K]V
}

// find returns what is known of a key, the zero value if that is nothing.
func (f *fading[K, V]) find(key K) V {
	if v, ok := f.young[key]; ok {
		return v
	}
	return f.old[key]
}

// keep remembers a value.
func (f *fading[K, V]) keep(key K, v V) {
	if f.young == nil {
		f.young = make(map[K]V)
	}
	f.young[key] = v
	if len(f.young) > f.most {
		f.young, f.old = nil, f.young
	}
}
