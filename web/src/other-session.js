import { read } from './token.js';

/** The box that asks before the token of a link takes the place of this tab's: anybody can write a link. */
export class OtherSession {
  #dialog = document.querySelector('#other-session');
  #offered = '';

  /** @param {(token: string) => void} use called with the token of the link, if the visitor wants it */
  constructor(use) {
    this.#dialog.addEventListener('close', () => {
      if (this.#dialog.returnValue === 'switch') use(this.#offered);
    });
  }

  /** Asks whether to go on as who the offered token says, not as user. */
  ask(offered, user) {
    this.#offered = offered;
    const [now, other] = [name(user), nameOf(offered)];
    this.#dialog.querySelector('.text').textContent = `A link wants to sign you in as ${other}. You are ${now}. `
      + 'Whoever made the link would know what you do and say as somebody of theirs.';
    this.#dialog.querySelector('[value=stay]').textContent = `Stay ${now}`;
    this.#dialog.querySelector('[value=switch]').textContent = `Sign in as ${other}`;
    this.#dialog.returnValue = 'stay';
    if (!this.#dialog.open) this.#dialog.showModal();
  }

  /** Stops asking, and returns the token of the link; null if nothing is asked. */
  giveUp() {
    if (!this.#dialog.open) return null;
    this.#dialog.close('stay');
    return this.#offered;
  }
}

const name = (user) => user || 'anonymous';

function nameOf(token) {
  try {
    return name(read(token).user);
  } catch {
    return 'somebody whose token cannot be read';
  }
}
