import { element } from './dom.js';
import { painter } from './frame.js';

/** The rooms as tabs, and the one in front: who is here, what was said, a line to speak. */
export class ChatView {
  #chat;
  #tabs = document.querySelector('#rooms');
  #room = document.querySelector('#room');
  #none = document.querySelector('#no-room');
  #here = document.querySelector('#here');
  #log = document.querySelector('#log');
  #alert = document.querySelector('#chat-alert');
  #join = document.querySelector('#join');
  #say = document.querySelector('#say');
  #items = new WeakMap(); // list items by message

  changed = painter(() => this.#paint());

  /** @param {import('./chat.js').Chat} chat */
  attach(chat) {
    this.#chat = chat;
    this.#tabs.addEventListener('click', (e) => this.#show(e.target.closest('[role=tab]')));
    this.#tabs.addEventListener('keydown', (e) => this.#moveAlong(e));
    this.#join.addEventListener('submit', (e) => this.#submitJoin(e));
    this.#say.addEventListener('submit', (e) => this.#submitSay(e));
    document.querySelector('#leave').addEventListener('click', () => chat.leave(chat.active));
  }

  #paint() {
    const { active } = this.#chat;
    this.#paintTabs();
    this.#none.hidden = active !== null;
    this.#room.hidden = active === null;
    if (!active) return;
    this.#room.setAttribute('aria-labelledby', tabId(active));
    this.#here.replaceChildren(...this.#chat.here(active).map(person));
    this.#paintLog(active);
    for (const control of this.#say.elements) control.disabled = active.state !== 'joined';
    this.#say.elements.text.placeholder = placeholder(active);
  }

  #paintTabs() {
    const focused = document.activeElement?.closest?.('[role=tab]')?.dataset.room;
    this.#tabs.replaceChildren(...[...this.#chat.rooms.values()].map((room) => tab(room, room === this.#chat.active)));
    if (focused !== undefined) this.#tabs.querySelector('[aria-selected=true]')?.focus();
  }

  #paintLog(room) {
    const atEnd = this.#log.scrollHeight - this.#log.scrollTop - this.#log.clientHeight < 40;
    const items = room.messages.map((message) => this.#item(message));
    if (room.state === 'refused') items.push(element('li', { className: 'alert', textContent: refusedText(room.name, room.why) }));
    // Only what differs is touched: a screen reader reads what is added, and should not read all of it again.
    const wanted = new Set(items);
    for (const old of [...this.#log.children]) if (!wanted.has(old)) old.remove();
    items.forEach((item, i) => {
      if (this.#log.children[i] !== item) this.#log.insertBefore(item, this.#log.children[i] ?? null);
    });
    if (atEnd) this.#log.scrollTop = this.#log.scrollHeight;
  }

  #item(message) {
    let item = this.#items.get(message);
    if (!item) {
      const time = new Date(message.at).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
      const head = element('p', { className: 'from' }, message.from || 'anonymous', element('time', { textContent: time }));
      item = element('li', {}, head, element('p', { className: 'text', textContent: message.text }), element('p', { className: 'fate' }));
      item.style.setProperty('--hue', hue(message.from));
      this.#items.set(message, item);
    }
    item.className = `message ${message.own ? 'own' : ''} ${message.state}`;
    item.lastChild.textContent = { failed: `Not delivered: ${message.why}`, sending: 'Sending…' }[message.state] ?? '';
    return item;
  }

  #show(tab) {
    if (!tab) return;
    this.#warn('');
    this.#chat.show(tab.dataset.room);
  }

  /** Arrow keys move between tabs. */
  #moveAlong(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    const names = [...this.#chat.rooms.keys()];
    const next = (names.indexOf(this.#chat.active.name) + step + names.length) % names.length;
    this.#chat.show(names[next]);
    event.preventDefault();
  }

  async #submitJoin(event) {
    event.preventDefault();
    const name = this.#join.elements.room.value.trim();
    this.#warn('');
    try {
      await this.#chat.join(name);
      this.#join.reset();
      this.#say.elements.text.focus();
    } catch (err) {
      this.#warn(err.code ? refusedText(name, err.message) : `Could not join: ${err.message}`);
    }
  }

  #submitSay(event) {
    event.preventDefault();
    const text = this.#say.elements.text.value.trim();
    if (text === '') return;
    this.#chat.say(text);
    this.#say.reset();
    this.#log.scrollTop = this.#log.scrollHeight;
  }

  #warn(text) {
    this.#alert.textContent = text;
    this.#alert.hidden = text === '';
  }
}

const tabId = (room) => `room-${[...room.name].map((c) => c.codePointAt(0).toString(36)).join('-')}`;

function tab(room, selected) {
  const unread = room.unread > 0 ? [element('span', { className: 'unread', textContent: room.unread, ariaLabel: `${room.unread} unread` })] : [];
  const button = element('button', { type: 'button', id: tabId(room), className: room.state, tabIndex: selected ? 0 : -1 }, room.name, ...unread);
  button.dataset.room = room.name;
  button.setAttribute('role', 'tab');
  button.setAttribute('aria-selected', selected);
  button.setAttribute('aria-controls', 'room');
  return button;
}

function person({ client, user, own }) {
  const item = element('li', { textContent: own ? `${user || 'anonymous'} (you)` : user || 'anonymous', title: client });
  item.dataset.client = client;
  item.style.setProperty('--hue', hue(user));
  return item;
}

function refusedText(room, why) {
  return `The broker does not let you into “${room}”: ${why}. You need a token whose rooms list it.`;
}

function placeholder(room) {
  return { joined: `Say something in ${room.name}`, joining: `Joining ${room.name}…`, refused: 'You may not speak here' }[room.state];
}

/** A colour of one's own, the same on everybody's page. */
function hue(name) {
  let h = 7;
  for (const c of name) h = (h * 31 + c.codePointAt(0)) % 360;
  return h;
}
