import { Chart } from './chart.js';
import { element } from './dom.js';
import { painter } from './frame.js';
import { arrow, change } from './ticker.js';

const INTERVAL = 80; // ms between paints; faster changes are unreadable
const STALE = 3000; // ms without an update

/** The grid of symbols. Only cells that can be seen are painted. */
export class TickerView {
  #ticker;
  #grid = document.querySelector('#grid');
  #note = document.querySelector('#ticker-note');
  #filter = document.querySelector('#filter');
  #chart = new Chart(document.querySelector('#chart'));
  #cells = new Map(); // by quote
  #seen = new Set(); // quotes whose cells are in view
  #waiting = new Set(); // quotes to be painted
  #selected = null;
  #pace = ''; // what is said of how often prices come
  #lastUpdate = 0;
  #observer = new IntersectionObserver((entries) => this.#cameIntoView(entries), { root: this.#grid, rootMargin: '100px' });

  /** Asks for what has changed to be painted soon. */
  changed = painter(() => this.#paint(), INTERVAL);

  constructor(ticker) {
    this.#ticker = ticker;
    this.#filter.addEventListener('input', () => this.#applyFilter());
    this.#grid.addEventListener('click', (e) => this.#select(e.target.closest('button')));
    let before = 0;
    setInterval(() => {
      this.#describe(ticker.updates - before);
      before = ticker.updates;
    }, 1000);
  }

  #paint() {
    const changed = this.#ticker.take();
    if (this.#cells.size < this.#ticker.quotes.size) this.#addCells(changed);
    for (const quote of changed) this.#waiting.add(quote);
    for (const quote of this.#waiting) {
      if (this.#seen.has(quote)) paintCell(this.#cells.get(quote), quote, changed.has(quote));
    }
    this.#waiting.clear();
    if (changed.has(this.#selected)) this.#chart.changed();
  }

  #addCells(changed) {
    for (const quote of changed) {
      if (this.#cells.has(quote)) continue;
      const cell = createCell(quote);
      this.#cells.set(quote, cell);
      this.#observer.observe(cell);
    }
    const bySymbol = [...this.#cells.keys()].sort((a, b) => (a.symbol < b.symbol ? -1 : 1));
    this.#grid.replaceChildren(...bySymbol.map((quote) => this.#cells.get(quote)));
    this.#applyFilter();
  }

  #cameIntoView(entries) {
    for (const { target, isIntersecting } of entries) {
      const quote = this.#ticker.quotes.get(target.value);
      if (isIntersecting) {
        this.#seen.add(quote);
        this.#waiting.add(quote);
      } else this.#seen.delete(quote);
    }
    this.changed();
  }

  #select(cell) {
    if (!cell) return;
    this.#cells.get(this.#selected)?.setAttribute('aria-pressed', 'false');
    cell.setAttribute('aria-pressed', 'true');
    this.#selected = this.#ticker.quotes.get(cell.value);
    this.#chart.show(this.#selected);
  }

  #applyFilter() {
    const wanted = this.#filter.value.trim().toUpperCase();
    for (const [quote, cell] of this.#cells) cell.hidden = !quote.symbol.toUpperCase().includes(wanted);
    this.#describe();
  }

  #describe(perSecond = null) {
    const all = this.#cells.size;
    const shown = this.#grid.querySelectorAll(':scope > :not([hidden])').length;
    const count = shown === all ? `${all} symbols` : `${shown} of ${all} symbols`;
    if (perSecond !== null) this.#pace = this.#describePace(perSecond);
    this.#note.textContent = all === 0 ? 'Waiting for prices…' : `${count} · ${this.#pace}`;
  }

  #describePace(perSecond) {
    if (perSecond > 0) this.#lastUpdate = Date.now();
    if (Date.now() - this.#lastUpdate < STALE) return `${perSecond.toLocaleString()} updates/s`;
    return `last values, of ${new Date(this.#ticker.newest).toLocaleTimeString()}`;
  }
}

function createCell(quote) {
  const parts = [['b', quote.symbol], ['span', '', 'change'], ['span', '', 'price']];
  const cell = element('button', { type: 'button', className: 'cell', value: quote.symbol }, ...parts.map(
    ([tag, textContent, className = '']) => element(tag, { textContent, className })));
  cell.setAttribute('aria-pressed', 'false');
  return cell;
}

function paintCell(cell, quote, flash) {
  const [, changed, price] = cell.children;
  changed.textContent = change(quote);
  price.textContent = `${arrow(quote.direction)} ${quote.price.toFixed(2)}`;
  const direction = ['down', '', 'up'][quote.direction + 1];
  // The same animation under two names: going from one to the other starts it again without a forced layout.
  const beat = cell.classList.contains('tick') ? 'tock' : 'tick';
  cell.className = flash ? `cell ${direction} ${beat}` : `cell ${direction}`;
}
