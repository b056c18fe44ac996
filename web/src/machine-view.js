import { color, element, onColorsChanged } from './dom.js';
import { painter } from './frame.js';
import { kinds } from './machine.js';

const INTERVAL = 200; // ms between paints

/** The cards of each machine: a figure and a small chart for each kind. */
export class MachineView {
  #machines;
  #section = document.querySelector('.machine');
  #cards = new Map(); // by gauge

  changed = painter(() => this.#paint(), INTERVAL);

  constructor(machines) {
    this.#machines = machines;
    onColorsChanged(this.changed);
    addEventListener('resize', this.changed);
  }

  #paint() {
    for (const [host, gauges] of this.#machines.hosts) {
      for (const [kind, gauge] of gauges) this.#card(host, kind, gauge).paint(gauge);
    }
  }

  #card(host, kind, gauge) {
    let card = this.#cards.get(gauge);
    if (!card) {
      card = new Card(host, kind);
      this.#cards.set(gauge, card);
      this.#section.querySelector('.empty')?.remove();
      this.#place(card.element);
    }
    return card;
  }

  /** Keeps cards in order: by host, and by kind as in `kinds`, whatever comes first. */
  #place(card) {
    const after = [...this.#section.children].find((other) => other.dataset.order > card.dataset.order);
    this.#section.insertBefore(card, after ?? null);
  }
}

class Card {
  #figure = element('p', { className: 'figure' });
  #note = element('p', { className: 'note' });
  #canvas = element('canvas', { className: 'spark' });

  constructor(host, kind) {
    const title = element('h3', {}, kinds[kind].title, element('small', { textContent: host }));
    this.element = element('article', { className: 'panel card' }, title, this.#figure, this.#canvas, this.#note);
    this.element.dataset.kind = kind;
    this.element.dataset.order = `${host}/${Object.keys(kinds).indexOf(kind)}`;
    this.#canvas.setAttribute('aria-hidden', 'true');
  }

  paint({ reading, series }) {
    this.#figure.textContent = reading.figure;
    this.#note.textContent = reading.note;
    drawLines(this.#canvas, series, reading.top);
  }
}

/** Draws series on one scale, from zero to top, or to the largest value if top is not known. */
function drawLines(canvas, series, top) {
  const ratio = devicePixelRatio;
  const width = canvas.clientWidth * ratio;
  const height = canvas.clientHeight * ratio;
  if (canvas.width !== Math.round(width)) canvas.width = width;
  if (canvas.height !== Math.round(height)) canvas.height = height;
  const context = canvas.getContext('2d');
  context.clearRect(0, 0, width, height);
  let highest = top ?? 1;
  if (!top) series.forEach((s) => s.each((_, v) => { highest = Math.max(highest, v); }));
  series.forEach((s, i) => drawLine(context, s, { width, height, highest, ratio, name: ['accent', 'second'][i] }));
}

function drawLine(context, series, { width, height, highest, ratio, name }) {
  if (series.length < 2) return;
  const step = width / (series.length - 1);
  const y = (v) => height - ratio - (v / highest) * (height - 2 * ratio);
  let i = 0;
  context.beginPath();
  series.each((_, v) => context.lineTo(step * i++, y(v)));
  context.lineWidth = 1.5 * ratio;
  context.lineJoin = 'round';
  context.strokeStyle = color(name);
  context.stroke();
  context.lineTo(width, height);
  context.lineTo(0, height);
  context.fillStyle = color(`${name}-soft`);
  context.fill();
}
