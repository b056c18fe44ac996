// The page's connection, without the page: what it asks for, and how it comes back.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Connection } from '../src/connection.js';
import { PATIENCE, sharedBroker, sign, until } from './harness.mjs';

const timeout = 4 * PATIENCE;
const broker = sharedBroker();

/** A connection and what was told of it. */
function watch(t, credentials) {
  const seen = { states: [], asked: 0, takenOver: 0, messages: [] };
  seen.connection = new Connection({
    url: broker.ws,
    credentials: () => {
      seen.asked++;
      return credentials();
    },
    onState: (state) => seen.states.push(state),
    onMessage: (topic, payload) => seen.messages.push([topic, payload.toString()]),
    onTakenOver: () => { seen.takenOver++; },
    onPacket: () => {},
  });
  t.after(() => seen.connection.stop());
  seen.reaches = (kind) => until(`it is ${kind}`, () => seen.connection.state.kind === kind);
  return seen;
}

async function guest(clientId = 'guest-1') {
  return { clientId, username: 'guest', password: await broker.token('guest', ['lobby']) };
}

test('asks for credentials before each attempt, and resumes its session', { timeout }, async (t) => {
  const seen = watch(t, () => guest('resumed'));
  seen.connection.start();
  await seen.reaches('connected');
  await seen.connection.subscribe(['chat/lobby/say'], { qos: 1 });
  await broker.kill();
  await seen.reaches('waiting');
  await broker.start();
  await seen.reaches('connected');
  assert.ok(seen.asked >= 2, `asked ${seen.asked} times`);
  await seen.connection.subscribe(['chat/lobby/say'], { qos: 1 });
  await seen.connection.publish('chat/lobby/say', 'hello', { qos: 1 });
  await until('the message is there', () => seen.messages.some(([, text]) => text === 'hello'));
});

test('does not try again what was refused', { timeout }, async (t) => {
  const seen = watch(t, async () => ({ clientId: 'refused', username: 'guest', password: 'letmein' }));
  seen.connection.start();
  await seen.reaches('refused');
  assert.match(seen.connection.state.reason, /\(0x8[67]\)$/);
  assert.equal(seen.asked, 1);
});

test('is refused when its token runs out', { timeout }, async (t) => {
  const secret = await broker.secret();
  const password = () => sign(secret, { sub: 'guest', exp: Math.ceil(Date.now() / 1000) + 4 }); // enough to connect
  const seen = watch(t, async () => ({ clientId: 'runs-out', username: 'guest', password: password() }));
  seen.connection.start();
  await seen.reaches('refused');
  assert.deepEqual(seen.states.map((state) => state.kind), ['idle', 'connecting', 'connected', 'refused']);
  assert.match(seen.connection.state.reason, /expired.*\(0x87\)$/);
});

test('what is refused has its code, what is lost has none', { timeout }, async (t) => {
  const seen = watch(t, () => guest('codes'));
  await assert.rejects(seen.connection.publish('chat/lobby/say', 'x', { qos: 1 }), (err) => err.code === undefined);
  seen.connection.start();
  await seen.reaches('connected');
  await assert.rejects(seen.connection.subscribe(['chat/vault/say'], { qos: 1 }), { code: 0x87 });
  await assert.rejects(seen.connection.publish('chat/vault/say', 'x', { qos: 1 }), { code: 0x87 });
});

test('tells when another takes its client identifier, and comes back', { timeout }, async (t) => {
  let name = 'first';
  const first = watch(t, () => guest(name));
  first.connection.start();
  await first.reaches('connected');
  name = 'first-again';
  const second = watch(t, () => guest('first'));
  second.connection.start();
  await until('the first is told', () => first.takenOver === 1);
  await Promise.all([first.reaches('connected'), second.reaches('connected')]);
});
