// The code in docs/connect-browser.md, run as it stands there.
import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { PATIENCE, sharedBroker, until } from './harness.mjs';

const page = path.join(import.meta.dirname, '../../docs/connect-browser.md');
// A folder that is not kept, from where `import 'mqtt'` finds the package.
const scratch = path.join(import.meta.dirname, '../node_modules/.cache/outcry');

const broker = sharedBroker('--demo');

test('docs/connect-browser.md: a first connection gets all prices', { timeout: 3 * PATIENCE }, async (t) => {
  const [first] = await codeBlocks();
  const body = first.replace("'ws://127.0.0.1:8083/mqtt'", JSON.stringify(broker.ws)).replace("'…'", JSON.stringify(await broker.token('guest')));
  assert.equal(body.match(/'ws:|'…'/), null, 'the address or the password in the first block has changed');
  const heard = 'export const prices = new Map();\nconst console = { log: (topic, value) => prices.set(topic, value.p) };\n';
  const { client, prices } = await run('first.mjs', `${heard}${body}\nexport { client };`);
  t.after(() => client.endAsync(true));
  await until('all prices have come', () => prices.size === 500);
});

test('docs/connect-browser.md: prices come, and come again with a fresh token', { timeout: 6 * PATIENCE }, async (t) => {
  const [, connectCode, useCode] = await codeBlocks();
  const { connect } = await run('connect.mjs', connectCode);

  let minted = 0;
  let expired = false;
  const fetchToken = async () => {
    minted++;
    return expired ? broker.token('guest', ['lobby']) : broker.token('guest', ['lobby'], '--ttl', '8s');
  };
  // The third block is run with what it names: the second block's connect, and the page's own fetch and console.
  const prices = new Map();
  const log = (topic, value) => prices.set(topic, value.p);
  const body = useCode.replace("'ws://127.0.0.1:8083/mqtt'", JSON.stringify(broker.ws));
  assert.notEqual(body, useCode, 'the address in the third block has changed');
  const AsyncFunction = (async () => {}).constructor;
  const use = new AsyncFunction('connect', 'fetch', 'console', `${body}\nreturn client;`);
  const client = await use(connect, async () => ({ text: fetchToken }), { log });
  t.after(() => client.endAsync(true));
  let closes = 0;
  let known = 0; // tokens that were minted before the last close, so counted ahead of the page's own listener
  client.prependListener('close', () => {
    closes++;
    known = minted;
  });
  await until('all prices have come', () => prices.size === 500);

  await until('a fresh token was shown in time', () => minted >= 3);
  assert.equal(closes, 0, 'the connection ended with its first token');

  expired = true;
  await broker.kill();
  // Not events.once: it rejects with the 'error' (EPIPE) of a client that shows a token just then.
  await until('the connection is lost', () => closes > 0);
  prices.clear();
  await broker.start();
  await until('all prices have come again', () => prices.size === 500);
  assert.ok(minted > known, 'the page asked for no token when the connection was lost');
});

async function codeBlocks() {
  const text = await readFile(page, 'utf8');
  const blocks = [...text.matchAll(/^```js\n(.*?)^```$/gms)].map((match) => match[1]);
  assert.equal(blocks.length, 3, 'js blocks in docs/connect-browser.md');
  return blocks;
}

async function run(name, code) {
  await mkdir(scratch, { recursive: true });
  const file = path.join(scratch, name);
  await writeFile(file, code);
  return import(pathToFileURL(file));
}
