// What MQTT.js is told when the broker refuses, and what is left after the broker was killed.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import mqtt from 'mqtt';
import { PATIENCE, sharedBroker, sign, until } from './harness.mjs';

const timeout = 4 * PATIENCE;

const broker = sharedBroker();

/** Connects as a user, with a token unless options say otherwise. */
async function open(t, user, rooms, options = {}) {
  const password = options.password ?? await broker.token(user, rooms);
  const client = mqtt.connect(broker.ws, { protocolVersion: 5, reconnectPeriod: 0, username: user, ...options, password });
  t.after(() => client.endAsync(true));
  return client;
}

const refusals = {
  'not a token': { password: async () => 'letmein', codes: [0x86, 0x87] },
  'a token of another broker': { password: foreignToken, codes: [0x86, 0x87] },
  'an expired token': { password: expiredToken, codes: [0x86, 0x87] },
  'none, for version 3.1.1': { password: async () => 'letmein', version: 4, codes: [4, 5] },
};

for (const [name, { password, version = 5, codes }] of Object.entries(refusals)) {
  test(`refused: ${name}`, { timeout }, async (t) => {
    const client = await open(t, 'guest', [], { password: await password(), protocolVersion: version });
    const [err] = await once(client, 'error');
    assert.ok(codes.includes(err.code), `code ${err.code}: ${err.message}`);
  });
}

test('a room that the token does not list is refused, and others are not', { timeout }, async (t) => {
  const client = await open(t, 'guest', ['lobby']);
  await once(client, 'connect');
  await client.subscribeAsync('chat/lobby/say', { qos: 1 });
  await assert.rejects(client.subscribeAsync('chat/vault/say', { qos: 1 }), /Not authorized/);
  await assert.rejects(client.publishAsync('chat/vault/say', '{}', { qos: 1 }), { code: 0x87 });
  await client.publishAsync('chat/lobby/say', '{}', { qos: 1 });
});

test('retained messages survive a killed broker', { timeout }, async (t) => {
  const topic = 'chat/lobby/here/somebody';
  const client = await open(t, 'guest', ['lobby'], { reconnectPeriod: 100 });
  const texts = [];
  client.on('message', (_, payload) => texts.push(payload.toString()));
  await once(client, 'connect');
  await client.publishAsync(topic, 'here', { qos: 1, retain: true });
  await broker.kill();
  await broker.start();
  await until('the client is back', () => client.connected);
  await client.subscribeAsync(topic);
  await until('the retained message comes', () => texts.includes('here'));
});

function foreignToken() {
  return sign('the secret of another broker, and not of this one', { sub: 'guest', exp: now() + 3600 });
}

async function expiredToken() {
  return sign(await broker.secret(), { sub: 'guest', exp: now() - 3600 });
}

const now = () => Math.floor(Date.now() / 1000);
