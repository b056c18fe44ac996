// permessage-deflate as clients have it: ws under MQTT.js in Node, and Chromium's own WebSocket.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import mqtt from 'mqtt';
import { sharedBrowser } from './browser.mjs';
import { PATIENCE, sharedBroker } from './harness.mjs';

const timeout = 4 * PATIENCE;
const broker = sharedBroker('--open', '--set', 'listeners.ws.compression=true');
const visit = sharedBrowser();

const agreed = 'permessage-deflate';
const quote = (i) => ({ symbol: `S${i % 7}`, price: (i * 7919) % 1000 / 10, volume: (i * 104729) % 9973 });
/** JSON of all sizes, some of it so small that it is not compressed. */
const texts = Array.from({ length: 300 }, (_, i) => JSON.stringify(Array.from({ length: (i * 31) % 97 }, (_, n) => quote(i + n))));

async function connect(t, protocolVersion, perMessageDeflate) {
  let socket;
  const finishRequest = (request, ws) => { // ws's way to get hold of it
    socket = ws;
    request.end();
  };
  const client = mqtt.connect(broker.ws, { protocolVersion, reconnectPeriod: 0, wsOptions: { perMessageDeflate, finishRequest } });
  t.after(() => client.endAsync(true));
  await once(client, 'connect');
  assert.equal(socket.extensions.startsWith(agreed), Boolean(perMessageDeflate));
  return client;
}

for (const protocolVersion of [4, 5]) {
  for (const qos of [0, 1, 2]) {
    test(`MQTT.js ${protocolVersion}, QoS ${qos}: what is compressed is heard as it was`, { timeout }, async (t) => {
      const topic = `node/${protocolVersion}/${qos}`;
      const clients = [await connect(t, protocolVersion, { threshold: 0 }), await connect(t, protocolVersion, false)];
      const heard = clients.map(() => []);
      const all = clients.map(async (client, i) => {
        client.on('message', (_, payload) => heard[i].push(payload.toString()));
        await client.subscribeAsync(topic, { qos });
      });
      await Promise.all(all);
      const done = clients.map((client, i) => new Promise((resolve) => {
        client.on('message', () => { if (heard[i].length === texts.length) resolve(); });
      }));
      await Promise.all(texts.map((text) => clients[0].publishAsync(topic, text, { qos })));
      await Promise.all(done);
      assert.deepEqual(heard, [texts, texts]);
    });
  }
}

test('Chromium agrees to it by itself, and hears what was said', { timeout }, async (t) => {
  const visitor = await visit(t, broker.page);
  const publisher = await connect(t, 4, false);
  const listening = visitor.page.evaluate(async ({ url, total }) => {
    const socket = new WebSocket(url, 'mqtt');
    socket.binaryType = 'arraybuffer';
    let bytes = [];
    let packed = 0;
    const came = new Promise((resolve, reject) => {
      socket.onclose = () => reject(new Error('closed'));
      socket.onmessage = ({ data }) => {
        bytes = bytes.concat([...new Uint8Array(data)]);
        if (bytes.length >= total) resolve();
      };
    });
    await new Promise((resolve) => { socket.onopen = resolve; });
    packed = socket.extensions;
    const topic = [...new TextEncoder().encode('page')];
    socket.send(new Uint8Array([0x10, 16, 0, 4, 77, 81, 84, 84, 4, 2, 0, 60, 0, 4, 112, 97, 103, 101]));
    socket.send(new Uint8Array([0x82, 9, 0, 1, 0, 4, ...topic, 0]));
    await came;
    return { packed, text: new TextDecoder().decode(new Uint8Array(bytes)) };
  }, { url: broker.ws, total: 4 + 5 + 2 * (1 + 3 + 2 + 4 + 20_000) });
  const text = JSON.stringify(Array.from({ length: 1000 }, (_, i) => quote(i))).slice(0, 20_000);
  for (let said = false; !said;) { // until the page has subscribed; what it hears of it is the first two
    await publisher.publishAsync('page', text, { qos: 1 });
    said = await Promise.race([listening.then(() => true), new Promise((resolve) => { setTimeout(resolve, 100, false); })]);
  }
  const { packed, text: heard } = await listening;
  assert.ok(packed.startsWith(agreed), packed);
  assert.equal(heard.split(text).length - 1, 2);
});
