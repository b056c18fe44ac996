import uPlot from 'uplot';
import { color, onColorsChanged } from './dom.js';
import { painter } from './frame.js';
import { arrow, change } from './ticker.js';

const INTERVAL = 250; // ms between paints
const GAP = 10_000; // ms without a price: the line has a gap there
const SECONDS = [1, 2, 5, 10, 15, 30, 60, 120, 300]; // between ticks

/** The chart of one quote's last minutes. */
export class Chart {
  #figure;
  #caption;
  #box;
  #plot = null;
  #quote = null;

  changed = painter(() => this.#paint(), INTERVAL);

  constructor(figure) {
    this.#figure = figure;
    this.#caption = figure.querySelector('figcaption');
    this.#box = figure.querySelector('.plot');
    new ResizeObserver(() => this.#plot?.setSize(this.#size())).observe(this.#box);
    onColorsChanged(() => this.#rebuild());
  }

  show(quote) {
    this.#quote = quote;
    this.#figure.classList.add('open');
    this.#rebuild();
  }

  #rebuild() {
    if (!this.#quote) return;
    this.#plot?.destroy();
    this.#plot = new uPlot(this.#options(), points(this.#quote.series), this.#box);
    this.#paint();
  }

  #paint() {
    const { symbol, price, direction, series } = this.#quote;
    this.#plot.setData(points(series));
    let low = Infinity;
    let high = -Infinity;
    series.each((_, p) => {
      low = Math.min(low, p);
      high = Math.max(high, p);
    });
    this.#figure.dataset.direction = direction;
    this.#caption.textContent = `${symbol} ${price.toFixed(2)} ${arrow(direction)} ${change(this.#quote)}`
      + ` · low ${low.toFixed(2)} · high ${high.toFixed(2)}`;
  }

  #size() {
    return { width: this.#box.clientWidth, height: this.#box.clientHeight };
  }

  #options() {
    const axis = { stroke: color('muted'), grid: { stroke: color('line'), width: 1 }, ticks: { show: false } };
    return {
      ...this.#size(),
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false } },
      padding: [8, 8, 0, 0],
      axes: [{ ...axis, size: 28, space: 90, incrs: SECONDS, values: (_, ticks) => ticks.map(clock) }, { ...axis, size: 64, values: (_, ticks) => ticks.map((v) => v.toFixed(2)) }],
      series: [{}, { stroke: color('accent'), fill: color('accent-soft'), width: 1.75, points: { show: false } }],
      scales: { y: { range: (_, low, high) => padded(low, high) } },
    };
  }
}

const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString();

function padded(low, high) {
  const margin = (high - low) * 0.1 || Math.abs(high) * 0.001 || 1;
  return [low - margin, high + margin];
}

/** What uPlot draws: times in seconds and values, with null where the line is broken. */
function points(series) {
  const times = [];
  const values = [];
  let before = Infinity;
  series.each((time, value) => {
    if (time - before > GAP) {
      times.push((before + 1) / 1000);
      values.push(null);
    }
    times.push(time / 1000);
    values.push(value);
    before = time;
  });
  return [times, values];
}
