// Starts the real program for a test, kills it and starts it again, and mints tokens. The program has to be built:
// ../bin/outcry, or what OUTCRY_BIN names.
import { execFile, spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before } from 'node:test';
import { promisify } from 'node:util';

const root = path.join(import.meta.dirname, '../..');
const program = process.env.OUTCRY_BIN ?? path.join(root, 'bin/outcry');
const run = promisify(execFile);

/** How long anything that should happen at once may take on a busy machine, in ms. */
export const PATIENCE = 60_000;

/**
 * An address of this machine for one broker, where there is more than one: so a broker that is started again finds its
 * ports free, and not taken by another's client.
 */
function loopback() {
  brokers++;
  return process.platform === 'linux' ? `127.8.${process.pid % 256}.${1 + brokers % 250}` : '127.0.0.1';
}

let brokers = 0;

/** A broker for one test, which is stopped and its data deleted when the test is over. */
export async function startBroker(t, ...args) {
  const broker = new Broker(args);
  t.after(() => broker.remove());
  await broker.start();
  return broker;
}

/** A broker for the tests of a file or of the describe() that it is called in. */
export function sharedBroker(...args) {
  const broker = new Broker(args);
  before(() => broker.start());
  after(() => broker.remove());
  return broker;
}

class Broker {
  #data = null; // its folder
  #args;
  #process = null;
  #output = '';
  #addresses; // by listener

  constructor(args) {
    this.#args = args;
    const any = `${loopback()}:0`;
    this.#addresses = { tcp: any, ws: any, http: any };
  }

  get tcp() { return `mqtt://${this.#addresses.tcp}`; }
  get ws() { return `ws://${this.#addresses.ws}/mqtt`; }
  get page() { return `http://${this.#addresses.ws}/`; }

  /** Starts it, with other arguments if given, and waits until it is ready; after the first time, on the same addresses. */
  async start(args = this.#args) {
    if (!existsSync(program)) throw new Error(`${program} is not there; build it first: make build`);
    this.#data ??= await mkdtemp(path.join(os.tmpdir(), 'outcry-web-'));
    const file = path.join(this.#data, 'addresses');
    await rm(file, { force: true });
    const { tcp, ws, http } = this.#addresses;
    const flags = ['--tcp', tcp, '--ws', ws, '--http', http, '--data', path.join(this.#data, 'data'), '--addr-file', file];
    this.#process = spawn(program, ['serve', ...args, ...flags], { cwd: this.#data, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => { this.#output += text; });
    }
    this.#addresses = await until('the broker is ready', async () => {
      if (this.#process.exitCode !== null) throw new Fatal(`the broker ended at once:\n${this.#output}`);
      return existsSync(file) && readAddresses(await readFile(file, 'utf8'));
    });
  }

  /** Ends it without a chance to say goodbye or to write anything. */
  async kill() {
    await this.#end('SIGKILL');
  }

  async stop() {
    await this.#end('SIGTERM');
  }

  /** Stops it and deletes its data. */
  async remove() {
    await this.stop();
    if (this.#data) await rm(this.#data, { recursive: true, force: true, maxRetries: 5 });
  }

  async #end(signal) {
    const child = this.#process;
    this.#process = null;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill(signal);
    await ended;
  }

  /** The value of a metric without labels. */
  async metric(name) {
    const response = await fetch(`http://${this.#addresses.http}/metrics`);
    const [, value] = (await response.text()).match(new RegExp(`^${name} (\\S+)$`, 'm')) ?? [];
    if (value === undefined) throw new Error(`there is no metric ${name}`);
    return Number(value);
  }

  get #secretFile() { return path.join(this.#data, 'data', 'secret'); }

  /** The secret that signs its tokens. */
  async secret() {
    return (await readFile(this.#secretFile, 'utf8')).trim();
  }

  /** Mints a token that it accepts, as a user of the program would. */
  async token(user, rooms = [], ...args) {
    const list = rooms.length > 0 ? ['--rooms', rooms.join(',')] : [];
    const { stdout } = await run(program, ['token', '--user', user, ...list, '--secret-file', this.#secretFile, ...args]);
    return stdout.trim();
  }
}

/** Signs a token with a secret, and claims that `outcry token` would not make. */
export function sign(secret, claims) {
  const encode = (part) => Buffer.from(JSON.stringify(part)).toString('base64url');
  const text = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode(claims)}`;
  return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
}

function readAddresses(text) {
  const { tcp, ws, http } = JSON.parse(text);
  return { tcp, ws, http };
}

/** An error that waiting does not mend. */
class Fatal extends Error {}

/** Waits until condition() gives something true, and returns that. Fails with the last error, or by saying what for. */
export async function until(what, condition, patience = PATIENCE) {
  const end = Date.now() + patience;
  let last;
  while (Date.now() < end) {
    try {
      const value = await condition();
      if (value) return value;
      last = undefined;
    } catch (err) {
      if (err instanceof Fatal) throw err;
      last = err;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`waited ${patience / 1000} s in vain until ${what}`, { cause: last });
}
