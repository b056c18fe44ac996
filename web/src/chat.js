// Chat in rooms. A message goes to chat/{room}/say and is not retained. The clients in a room are its retained messages
// chat/{room}/here/{client}; an empty one removes the client.
//
// A connection has one will, so it clears the presence of one room: the one that was in front when the page connected.
// The others are cleared by the page when it leaves in good order, and else by running out: presence is published again
// every minute with a message expiry of two and a half. Presence without an expiry stays until it is cleared.

const HEARTBEAT = 60_000; // ms; as often as a hidden tab's timers run
const PRESENCE_EXPIRY = 150; // s
const LONGEST_LOG = 300; // messages of a room
const REMEMBERED = 1000; // ids of messages, so that none is shown twice

const sayTopic = (room) => `chat/${room}/say`;
const hereTopic = (room, client) => `chat/${room}/here/${client}`;

/**
 * @typedef {object} Message
 * @property {string} id
 * @property {string} from
 * @property {string} text
 * @property {string|number} at ms since 1970
 * @property {boolean} own
 * @property {''|'sending'|'failed'} state of an own one
 * @property {string} [why] it failed
 * @property {boolean} [inFlight] it is being sent
 *
 * @typedef {object} Room
 * @property {string} name
 * @property {'joining'|'joined'|'refused'} state
 * @property {string} [why] it was refused
 * @property {Message[]} messages
 * @property {Map<string, {user: string, until: number}>} people by client; until: when their presence runs out
 * @property {number} unread
 */

/** The rooms that one is in, or wants to be in. */
export class Chat {
  /** @type {Map<string, Room>} */
  rooms = new Map();
  /** @type {Room|null} the one in front */
  active = null;
  #connection;
  #changed;
  #seen = new Set();
  #since = Date.now();
  #said = 0;

  /** @param {() => void} changed called after anything has */
  constructor(connection, changed) {
    this.#connection = connection;
    this.#changed = changed;
    setInterval(() => this.#beat(), HEARTBEAT);
  }

  /** Begins anew as somebody: with the rooms that the token lists. */
  become(user, client, rooms) {
    this.user = user;
    this.client = client;
    this.rooms.clear();
    this.active = null;
    for (const name of rooms) this.#open(name);
    this.#changed();
  }

  /** The will of the next connection; undefined if one is in no room (it would have to be allowed there). */
  will() {
    const room = this.active?.state === 'refused' ? this.#joined()[0] : this.active;
    return room && { topic: hereTopic(room.name, this.client), payload: '', qos: 1, retain: true };
  }

  /** To be called when a connection is there: joins every room again, and sends what was not acknowledged. */
  connected() {
    for (const room of this.rooms.values()) this.#enter(room).catch(() => {});
  }

  /** Opens a room by name; rejects with the reason if the broker does not let one in. */
  async join(name) {
    if (/[/+#\0]/.test(name) || name === '') throw new Error('The name of a room has no “/”, “+” or “#”.');
    if (this.rooms.has(name)) {
      this.show(name);
      return;
    }
    const room = this.#open(name);
    try {
      await this.#enter(room);
      this.show(name);
    } catch (err) {
      this.#close(room);
      throw err;
    }
  }

  async leave(room) {
    this.#close(room);
    if (room.state !== 'joined') return;
    const { name } = room;
    await Promise.all([
      this.#connection.unsubscribe([sayTopic(name), hereTopic(name, '+')]),
      this.#absent(room),
    ]).catch(() => {}); // if the connection is gone, so is the presence
  }

  /** Tells every room that one is gone; for a page that is closed. */
  leaveAll() {
    for (const room of this.#joined()) this.#absent(room).catch(() => {});
  }

  show(name) {
    this.active = this.rooms.get(name);
    this.active.unread = 0;
    this.#changed();
  }

  say(text) {
    const id = `${this.client}-${Date.now()}-${this.#said++}`;
    const message = { id, from: this.user, text, at: Date.now(), own: true, state: 'sending' };
    this.#append(this.active, message);
    this.#send(this.active, message);
  }

  /** Takes a message, with the seconds until it expires if it does; false if it is not of a chat. */
  apply(topic, read, empty, expiry) {
    const [first, name, verb, client] = topic.split('/');
    if (first !== 'chat') return false;
    const room = this.rooms.get(name);
    if (!room) return true;
    if (verb === 'say') this.#heard(room, read());
    if (verb === 'here') this.#noticed(room, client, empty ? null : read(), expiry);
    return true;
  }

  /** Who is in a room, oneself first. */
  here(room) {
    const others = [...room.people].filter(([client]) => client !== this.client).map(([client, { user }]) => ({ client, user }));
    others.sort((a, b) => a.user.localeCompare(b.user) || (a.client < b.client ? -1 : 1));
    return room.state === 'joined' ? [{ client: this.client, user: this.user, own: true }, ...others] : [];
  }

  #joined() {
    return [...this.rooms.values()].filter((room) => room.state === 'joined');
  }

  #open(name) {
    const room = { name, state: 'joining', messages: [], people: new Map(), unread: 0 };
    this.rooms.set(name, room);
    this.active ??= room;
    this.#changed();
    return room;
  }

  #close(room) {
    this.rooms.delete(room.name);
    if (this.active === room) this.active = this.rooms.values().next().value ?? null;
    this.#changed();
  }

  async #enter(room) {
    if (room.state === 'refused') room.state = 'joining';
    room.people.clear(); // the retained ones come again with the subscription
    try {
      // No local: what one says oneself is on the page already.
      await this.#connection.subscribe([sayTopic(room.name), hereTopic(room.name, '+')], { qos: 1, nl: true });
    } catch (err) {
      if (err.code) Object.assign(room, { state: 'refused', why: err.message });
      this.#changed();
      throw err;
    }
    room.state = 'joined';
    this.#present(room);
    for (const message of room.messages) if (message.state === 'sending') this.#send(room, message);
    this.#changed();
  }

  #present(room) {
    const presence = JSON.stringify({ user: this.user, since: this.#since });
    const options = { qos: 1, retain: true, properties: { messageExpiryInterval: PRESENCE_EXPIRY } };
    this.#connection.publish(hereTopic(room.name, this.client), presence, options).catch(() => {});
  }

  #absent(room) {
    return this.#connection.publish(hereTopic(room.name, this.client), '', { qos: 1, retain: true });
  }

  #beat() {
    const now = Date.now();
    for (const room of this.#joined()) {
      this.#present(room);
      for (const [client, { until }] of room.people) if (until < now) room.people.delete(client);
    }
    this.#changed();
  }

  /** A message stays 'sending' until it is answered; over a lost connection it is sent again, with the same id. */
  async #send(room, message) {
    if (message.inFlight) return;
    message.inFlight = true;
    const { id, from, text, at } = message;
    try {
      await this.#connection.publish(sayTopic(room.name), JSON.stringify({ id, from, text, at }), { qos: 1 });
      message.state = '';
    } catch (err) {
      if (!err.code) return;
      Object.assign(message, { state: 'failed', why: err.message });
    } finally {
      message.inFlight = false;
    }
    this.#changed();
  }

  #heard(room, { id, from, text, at }) {
    if (typeof id !== 'string' || typeof from !== 'string' || typeof text !== 'string') return;
    this.#append(room, { id, from, text, at, own: false, state: '' });
  }

  #append(room, message) {
    if (this.#seen.has(message.id)) return;
    this.#seen.add(message.id);
    if (this.#seen.size > REMEMBERED) this.#seen.delete(this.#seen.values().next().value);
    room.messages.push(message);
    if (room.messages.length > LONGEST_LOG) room.messages.shift();
    if (room !== this.active) room.unread++;
    this.#changed();
  }

  #noticed(room, client, presence, expiry = Infinity) {
    const until = Date.now() + expiry * 1000;
    if (typeof presence?.user === 'string') room.people.set(client, { user: presence.user, until });
    else room.people.delete(client);
    this.#changed();
  }
}
