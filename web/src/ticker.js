import { Series } from './series.js';

const PREFIX = 'ticker/';
const POINTS = 600; // of each symbol: at twice a second, five minutes
const SPACING = 500; // ms

/**
 * @typedef {object} Quote the newest of a symbol
 * @property {string} symbol
 * @property {number} price
 * @property {number} direction of the last change: 1, 0 or -1
 * @property {number} opened the first price that this page saw
 * @property {number} time ms since 1970
 * @property {Series} series
 */

/** The prices of all symbols, and which have changed since they were last taken. */
export class Ticker {
  /** @type {Map<string, Quote>} */
  quotes = new Map();
  #changed = new Set();
  updates = 0; // live ones, since the page was opened
  newest = 0; // time of the newest price

  /** Takes a message; false if it is not a ticker's. */
  apply(topic, read, live) {
    if (!topic.startsWith(PREFIX)) return false;
    const { p: price, t: time } = read();
    if (typeof price !== 'number' || typeof time !== 'number') return true;
    const quote = this.#quote(topic.slice(PREFIX.length), price);
    quote.direction = Math.sign(price - quote.price) || quote.direction;
    quote.price = price;
    quote.time = time;
    quote.series.push(time, price);
    this.#changed.add(quote);
    this.newest = Math.max(this.newest, time);
    if (live) this.updates++;
    return true;
  }

  /** The quotes that changed since the last call. */
  take() {
    const changed = this.#changed;
    this.#changed = new Set();
    return changed;
  }

  #quote(symbol, price) {
    let quote = this.quotes.get(symbol);
    if (!quote) {
      quote = { symbol, price, direction: 0, opened: price, time: 0, series: new Series(POINTS, SPACING) };
      this.quotes.set(symbol, quote);
    }
    return quote;
  }
}

/** How far a quote is from its first price, e.g. "+0.42%". */
export function change(quote) {
  const percent = (quote.price / quote.opened - 1) * 100;
  return `${percent < 0 ? '−' : '+'}${Math.abs(percent).toFixed(2)}%`;
}

export const arrow = (direction) => ['▼', '·', '▲'][direction + 1];
