import mqtt from 'mqtt';
import { keepFresh } from './fresh.js';
import { describe, isFinal, SHUTTING_DOWN, TAKEN_OVER } from './reasons.js';

const FIRST_DELAY = 500; // ms
const LONGEST_DELAY = 15_000;

// The session outlives a short break, so that what was said in a room meanwhile is not missed. Prices are not kept for
// it: they are sent with QoS 0, and the retained ones come again with each subscription.
const SESSION_EXPIRY = 300; // s

// A hidden tab's timers run once a minute, so pings come late: MQTT.js looks every half keep alive, and the broker
// waits for one and a half.
const KEEP_ALIVE = 120; // s

const OWN = '$me/'; // what the broker tells this client about itself

/**
 * @typedef {object} State
 * @property {'idle'|'connecting'|'connected'|'waiting'|'refused'} kind
 * @property {string} [reason] why it is waiting or was refused
 * @property {number} [until] of waiting: when it tries again, as Date.now()
 */

/**
 * One connection to the broker that comes back by itself, until the broker says that the credentials are no good.
 * Each attempt is a new MQTT.js client, made with what `credentials` says at that moment: so a token that was refreshed
 * meanwhile is used, and nothing is left over from the attempt before.
 */
export class Connection {
  #options;
  #client = null;
  #timer = 0;
  #failures = 0;
  #fresh = true; // no session of ours is to be resumed
  #unanswered = new Set(); // functions that reject what still waits for an answer of the broker

  /** @type {State} */
  state = { kind: 'idle' };

  /**
   * @param {object} options
   * @param {string} options.url
   * @param {() => Promise<object>} options.credentials asked before each attempt: MQTT.js options such as clientId,
   *   username, password and will; and fetchToken if fresh tokens can be had while it is connected. If it rejects, that
   *   is an attempt that failed; with a code that is final (isFinal), the last one.
   * @param {(why: string) => void} [options.onTrouble] no fresh token could be had for the connection that is open
   * @param {() => void} [options.onFresh] the broker has taken a fresh token
   * @param {(state: State) => void} options.onState
   * @param {(topic: string, payload: Uint8Array, packet: object) => void} options.onMessage
   * @param {() => void} options.onTakenOver another connection uses this client identifier
   * @param {(bytes: number) => void} options.onPacket
   */
  constructor(options) {
    this.#options = options;
  }

  /** Connects now, whatever it was doing. */
  start() {
    this.stop();
    this.#failures = 0;
    this.#fresh = true;
    this.#connect();
  }

  stop() {
    clearTimeout(this.#timer);
    this.#drop();
    this.#become({ kind: 'idle' });
  }

  /** Tries again now instead of waiting. */
  retry() {
    if (this.state.kind !== 'waiting') return;
    clearTimeout(this.#timer);
    this.#connect();
  }

  /** Subscribes; resolves when the broker has accepted all filters, else rejects with an Error that has the code. */
  subscribe(filters, options) {
    return this.#ask((client, done) => client.subscribe(filters, options, (err, _, packet) => {
      const code = packet?.granted?.find((c) => c >= 0x80);
      done(code ? refusal(code, packet.properties?.reasonString) : err);
    }));
  }

  unsubscribe(filters) {
    return this.#ask((client, done) => client.unsubscribe(filters, done));
  }

  /** Publishes; resolves when the message was acknowledged (QoS 0: written). An Error without a code: not known. */
  publish(topic, payload, options = {}) {
    return this.#ask((client, done) => client.publish(topic, payload, options, (err, packet) => {
      done(err?.code >= 0x80 ? refusal(err.code, packet?.properties?.reasonString) : err);
    }));
  }

  /** Calls send(client, done) and resolves when done is called; rejects at the latest when the connection ends. */
  #ask(send) {
    return new Promise((resolve, reject) => {
      if (this.state.kind !== 'connected') throw new Error('not connected');
      const lost = () => reject(new Error('the connection was lost'));
      this.#unanswered.add(lost);
      send(this.#client, (err) => {
        this.#unanswered.delete(lost);
        if (err) reject(err);
        else resolve();
      });
    });
  }

  async #connect() {
    this.#become({ kind: 'connecting' });
    const attempt = this.state;
    let fetchToken;
    let credentials;
    try {
      ({ fetchToken, ...credentials } = await this.#options.credentials());
    } catch (err) {
      if (this.state === attempt) this.#closed(err.code ?? 0, err.message);
      return;
    }
    if (this.state !== attempt) return; // stopped or started anew meanwhile
    this.#client = mqtt.connect(this.#options.url, {
      protocolVersion: 5,
      clean: this.#fresh,
      keepalive: KEEP_ALIVE,
      connectTimeout: 10_000,
      reconnectPeriod: 0, // coming back is this class's business
      resubscribe: false,
      timerVariant: 'native', // the other one is a worker from a blob:, which the content security policy forbids
      ...credentials,
      properties: { sessionExpiryInterval: SESSION_EXPIRY },
    });
    this.#listen(this.#client, Boolean(fetchToken));
    if (fetchToken) keepFresh(this.#client, fetchToken, this.#options);
  }

  #listen(client, renews) {
    let why = 'the broker cannot be reached';
    let code = 0;
    client.on('packetreceive', (packet) => {
      this.#options.onPacket(packet.length + 2);
      if (packet.cmd === 'connack' || packet.cmd === 'disconnect') {
        code = packet.reasonCode ?? 0;
        if (code) why = describe(code, packet.properties?.reasonString);
      }
    });
    client.on('connect', () => {
      why = 'the connection was lost';
      this.#failures = 0;
      this.#fresh = false;
      this.#become({ kind: 'connected' });
    });
    client.on('message', (topic, payload, packet) => {
      if (!topic.startsWith(OWN)) this.#options.onMessage(topic, payload, packet);
    });
    client.on('error', () => {}); // each is followed by close, and why is known better from the packets
    client.on('close', () => {
      // Where there are fresh tokens, one that ran out is not the last word.
      const again = renews && this.state.kind === 'connected';
      if (client === this.#client) this.#closed(code, why, again);
    });
  }

  #closed(code, why, again = false) {
    this.#drop();
    if (isFinal(code) && !again) {
      this.#become({ kind: 'refused', reason: why });
      return;
    }
    if (code === TAKEN_OVER) {
      this.#fresh = true;
      this.#options.onTakenOver();
    }
    const delay = this.#delay(code);
    this.#become({ kind: 'waiting', reason: why, until: Date.now() + delay });
    this.#timer = setTimeout(() => this.#connect(), delay);
  }

  /** Doubles with each failure and is spread by half, so that a thousand pages don't all come back at once. */
  #delay(code) {
    const least = code === SHUTTING_DOWN ? 2 * FIRST_DELAY : FIRST_DELAY;
    const delay = Math.min(least * 2 ** this.#failures++, LONGEST_DELAY);
    return delay * (0.5 + Math.random() / 2);
  }

  #drop() {
    const client = this.#client;
    this.#client = null;
    if (client) client.end(client.connected ? undefined : true);
    for (const lost of this.#unanswered) lost();
    this.#unanswered.clear();
  }

  #become(state) {
    this.state = state;
    this.#options.onState(state);
  }
}

function refusal(code, reason) {
  return Object.assign(new Error(describe(code, reason)), { code });
}
