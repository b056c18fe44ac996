package config

// leastMemory is below what the program takes when nobody is connected, so that it would collect all the time.
const leastMemory = 32 << 20

// runtime checks what the tags of Runtime cannot say.
func (v *validator) runtime() {
	r := &v.loaded.Runtime
	if r.MemoryLimit > 0 && r.MemoryLimit < leastMemory {
		v.report("runtime.memory_limit", "is less than the program takes when nobody is connected", "write 32MiB or more, or 0 for three quarters of what there is")
	}
	if r.MemoryLimit == none && r.GCPercent == none {
		v.report("runtime.gc_percent", "without a memory limit nothing would ever be collected", "write 100, or set runtime.memory_limit")
	}
}
