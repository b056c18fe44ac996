/** The newest points of a line: at most `capacity`, and the newest one of each `spacing` ms. */
export class Series {
  #times;
  #values;
  #spacing;
  #last = -1;
  length = 0;

  constructor(capacity, spacing = 1) {
    this.#times = new Float64Array(capacity);
    this.#values = new Float64Array(capacity);
    this.#spacing = spacing;
  }

  push(time, value) {
    const last = this.length > 0 ? this.#times[this.#last] : -Infinity;
    if (time <= last) return; // late, or a retained message come again
    if (Math.floor(time / this.#spacing) !== Math.floor(last / this.#spacing)) {
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
}
