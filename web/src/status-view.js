import { bytes } from './machine.js';

/** The bar on top: how the connection is, how much comes in by it, and who one is. */
export class StatusView {
  #status = document.querySelector('#status');
  #text = this.#status.querySelector('.text');
  #countdown = this.#status.querySelector('.countdown');
  #why = this.#status.querySelector('.why');
  #rates = document.querySelector('#rates');
  #retry = document.querySelector('#retry');
  #signOut = document.querySelector('#sign-out');
  #user = document.querySelector('#user');
  #state = { kind: 'idle' };
  #packets = 0;
  #bytes = 0;
  #countedAt = performance.now();

  constructor({ onRetry, onSignOut }) {
    this.#retry.addEventListener('click', onRetry);
    this.#signOut.addEventListener('click', onSignOut);
    setInterval(() => this.#tick(), 1000);
  }

  count(bytes) {
    this.#packets++;
    this.#bytes += bytes;
  }

  show(state) {
    this.#state = state;
    this.#status.dataset.state = state.kind;
    this.#retry.hidden = state.kind !== 'waiting';
    this.#describe();
  }

  /** Says that something does not work although the connection does. */
  warn(text) {
    this.#status.dataset.state = 'warned';
    this.#why.textContent = text;
  }

  /** Takes back what warn said. */
  unwarn() {
    if (this.#status.dataset.state === 'warned') this.show(this.#state);
  }

  showUser(user) {
    this.#user.textContent = user === null ? '' : user || 'anonymous';
    this.#signOut.hidden = user === null;
  }

  #tick() {
    const now = performance.now();
    const seconds = (now - this.#countedAt) / 1000;
    const perSecond = Math.round(this.#packets / seconds).toLocaleString();
    this.#rates.textContent = `${perSecond} messages/s · ${bytes(this.#bytes / seconds)}/s`;
    this.#packets = 0;
    this.#bytes = 0;
    this.#countedAt = now;
    if (this.#state.kind === 'waiting') this.#describe();
  }

  /** The countdown is a part of its own that screen readers pass over: they would read it every second. */
  #describe() {
    const { kind, reason, until } = this.#state;
    this.#text.textContent = names[kind];
    this.#countdown.textContent = kind === 'waiting' ? `in ${Math.max(1, Math.ceil((until - Date.now()) / 1000))} s` : '';
    this.#why.textContent = reason ?? '';
  }
}

const names = {
  idle: 'Not connected',
  connecting: 'Connecting…',
  connected: 'Connected',
  waiting: 'Reconnecting',
  refused: 'Refused',
};
