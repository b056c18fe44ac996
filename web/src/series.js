/** The newest points of a line: at most `capacity`, at least `spacing` ms apart (what comes sooner replaces the last). */
export class Series {
  #times;
  #values;
  #spacing;
  #last = -1;
  length = 0;

  constructor(capacity, spacing = 0) {
    this.#times = new Float64Array(capacity);
    this.#values = new Float64Array(capacity);
    this.#spacing = spacing;
  }

  push(time, value) {
    if (this.length > 0 && time <= this.#times[this.#last]) return; // late, or a retained message come again
    if (!this.#tooSoon(time)) {
      this.#last = (this.#last + 1) % this.#times.length;
      this.length = Math.min(this.length + 1, this.#times.length);
    }
    this.#times[this.#last] = time;
    this.#values[this.#last] = value;
  }

  /** Calls fn(time, value) for each point, oldest first. */
  each(fn) {
    const capacity = this.#times.length;
    for (let n = this.length - 1; n >= 0; n--) {
      const i = (this.#last + capacity - n) % capacity;
      fn(this.#times[i], this.#values[i]);
    }
  }

  #tooSoon(time) {
    if (this.length < 2) return false;
    const capacity = this.#times.length;
    return time - this.#times[(this.#last + capacity - 1) % capacity] < this.#spacing;
  }
}
