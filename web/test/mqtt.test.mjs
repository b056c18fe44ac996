// MQTT.js as a client, as a dashboard or a Node program uses it: both versions, over TCP and WebSocket.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import mqtt from 'mqtt';
import { PATIENCE, sharedBroker, until } from './harness.mjs';

const LARGE = 200 * 1024; // bytes

let names = 0;
/** A topic or client identifier that no other test uses. */
const unique = (what) => `${what}${++names}`;

const broker = sharedBroker('--open');

for (const protocolVersion of [4, 5]) {
  for (const transport of ['tcp', 'ws']) {
    describe(`MQTT ${protocolVersion === 5 ? '5' : '3.1.1'} over ${transport}`, { timeout: 4 * PATIENCE }, () => {
      const connect = (t, options = {}) => connected(t, broker[transport], { protocolVersion, ...options });
      common(connect, protocolVersion);
      if (protocolVersion === 5) five(connect);
    });
  }
}

function common(connect, protocolVersion) {
  for (const qos of [0, 1, 2]) {
    test(`QoS ${qos}: each message once and in order`, async (t) => {
      const topic = unique('qos/');
      const subscriber = await connect(t);
      const inbox = received(subscriber);
      await subscriber.subscribeAsync(topic, { qos });
      const publisher = await connect(t);
      const sent = Array.from({ length: 100 }, (_, i) => `message ${i}`);
      await Promise.all(sent.map((text) => publisher.publishAsync(topic, text, { qos })));
      await publisher.publishAsync(topic, 'end', { qos });
      await inbox.until((m) => m.text === 'end');
      assert.deepEqual(inbox.texts(), [...sent, 'end']);
      assert.ok(inbox.messages.every((m) => m.packet.qos === qos));
    });
  }

  test('a retained message comes with the subscription until it is cleared', async (t) => {
    const topic = unique('retained/');
    const publisher = await connect(t);
    await publisher.publishAsync(topic, 'old', { qos: 1, retain: true });
    await publisher.publishAsync(topic, 'new', { qos: 1, retain: true });
    const subscriber = await connect(t);
    const inbox = received(subscriber);
    await subscriber.subscribeAsync(topic);
    const message = await inbox.until(() => true);
    assert.deepEqual([message.text, message.packet.retain], ['new', true]);

    await publisher.publishAsync(topic, '', { qos: 1, retain: true });
    const late = await connect(t);
    const lateInbox = received(late);
    await late.subscribeAsync([topic, `${topic}/end`]);
    await publisher.publishAsync(`${topic}/end`, 'end', { qos: 1 });
    await lateInbox.until((m) => m.text === 'end');
    assert.deepEqual(lateInbox.texts(), ['end']);
  });

  test('a will is published when the connection is cut, not when it is ended', async (t) => {
    const topic = unique('will/');
    const watcher = await connect(t);
    const inbox = received(watcher);
    await watcher.subscribeAsync(`${topic}/#`);
    const will = (name) => ({ topic: `${topic}/${name}`, payload: 'gone', qos: 1 });
    const polite = await connect(t, { will: will('polite') });
    await polite.endAsync();
    const cut = await connect(t, { will: will('cut') });
    cut.stream.destroy();
    const message = await inbox.until(() => true);
    assert.equal(message.topic, `${topic}/cut`);
    assert.deepEqual(inbox.texts(), ['gone']);
  });

  test('an empty retained will clears a presence', async (t) => {
    const topic = unique('here/');
    const watcher = await connect(t);
    const inbox = received(watcher);
    await watcher.subscribeAsync(topic);
    const client = await connect(t, { will: { topic, payload: '', qos: 1, retain: true } });
    await client.publishAsync(topic, 'here', { qos: 1, retain: true });
    await inbox.until((m) => m.text === 'here');
    client.stream.destroy();
    await inbox.until((m) => m.text === '');
  });

  test('wildcards match what they should', async (t) => {
    const base = unique('wild');
    const subscriber = await connect(t);
    const inbox = received(subscriber);
    await subscriber.subscribeAsync([`${base}/+/x`, `${base}/deep/#`]);
    const publisher = await connect(t);
    const topics = ['a/x', 'a/y', 'a/b/x', '/x', 'deep', 'deep/er/still', 'end/x'];
    for (const topic of topics) await publisher.publishAsync(`${base}/${topic}`, topic, { qos: 1 });
    await inbox.until((m) => m.text === 'end/x');
    assert.deepEqual(inbox.texts(), ['a/x', '/x', 'deep', 'deep/er/still', 'end/x']);
  });

  test('a session is resumed with what was published meanwhile', async (t) => {
    const topic = unique('session/');
    const options = { clientId: unique('durable'), clean: false, properties: { sessionExpiryInterval: 60 } };
    const first = await connect(t, options);
    assert.equal(first.connack.sessionPresent, false);
    await first.subscribeAsync(topic, { qos: 1 });
    await first.endAsync();
    const publisher = await connect(t);
    await publisher.publishAsync(topic, 'one', { qos: 1 });
    await publisher.publishAsync(topic, 'two', { qos: 1 });

    const second = mqtt.connect(first.options.href, { ...options, protocolVersion });
    t.after(() => second.endAsync(true));
    const inbox = received(second);
    const [connack] = await once(second, 'connect');
    assert.equal(connack.sessionPresent, true);
    await inbox.until((m) => m.text === 'two');
    assert.deepEqual(inbox.texts(), ['one', 'two']);
  });

  test('a cut connection comes back and subscribes again by itself', async (t) => {
    const topic = unique('cut/');
    const client = await connect(t, { reconnectPeriod: 50 });
    const inbox = received(client);
    await client.subscribeAsync(topic, { qos: 1 });
    const publisher = await connect(t);
    let connects = 0;
    client.on('connect', () => { connects++; });
    client.stream.destroy();
    await until('it has come back', () => connects > 0);
    await until('a message arrives', async () => {
      await publisher.publishAsync(topic, 'back', { qos: 1 });
      return inbox.texts().includes('back');
    });
  });

  test('retained messages at speed arrive whole, on every connection', async (t) => {
    const base = unique('whole');
    const inboxes = [];
    for (let i = 0; i < 8; i++) {
      const subscriber = await connect(t);
      inboxes.push(received(subscriber));
      await subscriber.subscribeAsync(`${base}/#`);
    }
    const publisher = await connect(t);
    // Each tells its own topic, and they differ in length: bytes of one in the place of another's are seen.
    for (let i = 0; i < 2000; i++) {
      const topic = `${base}/${'x'.repeat(i % 7)}${i}`;
      publisher.publish(topic, `${topic} is whole`, { retain: true });
    }
    await publisher.publishAsync(`${base}/end`, `${base}/end is whole`, { qos: 1 });
    for (const inbox of inboxes) {
      await inbox.until((m) => m.topic === `${base}/end`);
      assert.deepEqual(inbox.messages.filter((m) => m.text !== `${m.topic} is whole`), []);
      assert.equal(inbox.messages.length, 2001);
    }
  });

  test('a large message arrives whole', async (t) => {
    const topic = unique('large/');
    const client = await connect(t);
    const inbox = received(client);
    await client.subscribeAsync(topic, { qos: 1 });
    const payload = randomBytes(LARGE);
    await client.publishAsync(topic, payload, { qos: 1 });
    const message = await inbox.until(() => true);
    assert.ok(payload.equals(message.payload));
  });
}

function five(connect) {
  test('the properties of a message are passed on', async (t) => {
    const topic = unique('properties/');
    const client = await connect(t);
    const inbox = received(client);
    await client.subscribeAsync(topic, { qos: 1, properties: { subscriptionIdentifier: 42 } });
    const properties = {
      payloadFormatIndicator: true,
      contentType: 'text/plain',
      responseTopic: 'answers/here',
      correlationData: Buffer.from([1, 2, 3]),
      userProperties: { tone: ['loud', 'clear'], ümlaut: 'ß' },
    };
    await client.publishAsync(topic, 'hey', { qos: 1, properties: { ...properties, messageExpiryInterval: 100 } });
    const { packet } = await inbox.until(() => true);
    const { messageExpiryInterval, subscriptionIdentifier, userProperties, ...rest } = packet.properties;
    assert.deepEqual({ ...rest, userProperties: { ...userProperties } }, properties);
    assert.equal(subscriptionIdentifier, 42);
    assert.ok(messageExpiryInterval > 90 && messageExpiryInterval <= 100, `expires in ${messageExpiryInterval} s`);
  });

  test('no local: what one publishes does not come back', async (t) => {
    const topic = unique('local/');
    const [speaker, other] = [await connect(t), await connect(t)];
    const inbox = received(speaker);
    await speaker.subscribeAsync(topic, { qos: 1, nl: true });
    await speaker.publishAsync(topic, 'own', { qos: 1 });
    await other.publishAsync(topic, 'foreign', { qos: 1 });
    await inbox.until((m) => m.text === 'foreign');
    assert.deepEqual(inbox.texts(), ['foreign']);
  });

  test('a topic alias stands for its topic, both ways', async (t) => {
    const topic = unique('alias/');
    const client = await connect(t, { autoAssignTopicAlias: true, properties: { topicAliasMaximum: 10 } });
    const inbox = received(client);
    await client.subscribeAsync(topic);
    for (const text of ['1', '2', '3']) await client.publishAsync(topic, text);
    await inbox.until((m) => m.text === '3');
    assert.deepEqual(inbox.messages.map((m) => m.topic), [topic, topic, topic]);
  });

  test('a connection that is taken over is told so', async (t) => {
    const clientId = unique('taken');
    const first = await connect(t, { clientId });
    const told = once(first, 'disconnect');
    await connect(t, { clientId });
    const [packet] = await told;
    assert.equal(packet.reasonCode, 0x8e);
  });
}

/** A client that is connected, and is ended with the test. */
async function connected(t, url, options) {
  const client = mqtt.connect(url, { reconnectPeriod: 0, ...options });
  client.options.href = url;
  t.after(() => client.endAsync(true));
  const [connack] = await once(client, 'connect');
  return Object.assign(client, { connack });
}

/** Collects what a client receives. */
function received(client) {
  const messages = [];
  client.on('message', (topic, payload, packet) => messages.push({ topic, payload, packet, text: payload.toString() }));
  return {
    messages,
    texts: () => messages.map((m) => m.text),
    until: (wanted) => until('the message arrives', () => messages.find(wanted)),
  };
}
