package config

// minMemoryLimit is less than the idle program uses: with a lower limit it would collect all the time.
const minMemoryLimit = 32 << 20

// runtime checks rules that the tags of Runtime cannot express.
func (v *validator) runtime() {
	r := &v.loaded.Runtime
	if r.MemoryLimit > 0 && r.MemoryLimit < minMemoryLimit {
		v.report("runtime.memory_limit", "is less than the program needs without clients", "write 32MiB or more, or 0 for three quarters of the memory")
	}
	if r.MemoryLimit == none && r.GCPercent == none {
		v.report("runtime.gc_percent", "without a memory limit the garbage collector would never run", "write 100, or set runtime.memory_limit")
	}
}
