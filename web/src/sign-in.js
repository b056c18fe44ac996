import { fromPasted } from './token.js';

/** The box that asks for a token. */
export class SignIn {
  #dialog = document.querySelector('#sign-in');
  #form = this.#dialog.querySelector('form');
  #alert = this.#dialog.querySelector('.alert');

  /** @param {(token: string) => void} use called with what was given; empty: connect without */
  constructor(use) {
    this.#form.addEventListener('submit', (e) => {
      e.preventDefault();
      const token = fromPasted(this.#form.elements.token.value);
      if (token === '') this.ask('Paste a token, or connect without one.');
      else use(token);
    });
    this.#form.querySelector('[value=anonymous]').addEventListener('click', () => use(''));
    this.#dialog.addEventListener('cancel', (e) => e.preventDefault());
  }

  get isOpen() {
    return this.#dialog.open;
  }

  /** Opens the box, and says why if it is not the first thing that somebody sees. */
  ask(why = '') {
    this.#alert.textContent = why;
    this.#alert.hidden = why === '';
    if (!this.#dialog.open) this.#dialog.showModal();
    this.#form.elements.token.focus();
  }

  close() {
    this.#form.reset();
    this.#dialog.close();
  }
}
