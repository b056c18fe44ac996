// Takes the picture of the page that the README shows: docs/page.png. `npm run screenshot`, after `make build`.
import path from 'node:path';
import mqtt from 'mqtt';
import { visitAlone } from './browser.mjs';
import { startBroker, until } from './harness.mjs';

const picture = path.join(import.meta.dirname, '../../docs/page.png');
const CHARTED = 30_000; // ms of prices in the chart

const talk = [
  ['linus', 'ACME just broke its high, anybody else seeing this?'],
  ['ada', 'Yes, and the feed is at a thousand a second here'],
  ['grace', 'I restarted the broker under you. Did you notice?'],
  ['ada', 'The page came back by itself, last values and all'],
  ['linus', 'Same here. Joining traders now'],
];

const cleanups = [];
const t = { after: (fn) => cleanups.unshift(fn) };
try {
  await take();
} finally {
  for (const cleanup of cleanups) await cleanup();
}

async function take() {
  const broker = await startBroker(t, '--demo');
  const ada = await visitAlone(t, `${broker.page}#token=${await broker.token('ada', ['lobby', 'traders'])}`, { viewport: { width: 1440, height: 900 } });
  const others = { grace: await guest(broker, 'grace'), linus: await guest(broker, 'linus') };
  await ada.enters('lobby');
  await ada.sees('#ticker-note', /^500 symbols/);
  const cell = ada.page.locator('#grid .cell:nth-child(11)');
  await cell.click();
  const symbol = await cell.locator('b').innerText();
  const since = Date.now();
  for (const [name, line] of talk) {
    if (line.includes('restarted')) await restart(broker, ada);
    const text = line.replace('ACME', symbol);
    if (name === 'ada') await ada.says(text);
    else await others[name](text);
    await ada.hears(text);
  }
  await until('the chart has a line', () => Date.now() - since > CHARTED, 2 * CHARTED);
  await ada.page.screenshot({ path: picture });
}

/** So that what they say is true. */
async function restart(broker, visitor) {
  await broker.kill();
  await visitor.sees('#status', /^Reconnecting/);
  await broker.start();
  await visitor.connected();
}

/** Somebody in the lobby without a browser; returns what makes them say something. */
async function guest(broker, from) {
  const client = await mqtt.connectAsync(broker.ws, { protocolVersion: 5, username: from, password: await broker.token(from, ['lobby']) });
  t.after(() => client.endAsync(true));
  await client.publishAsync(`chat/lobby/here/${from}`, JSON.stringify({ user: from, since: Date.now() }), { qos: 1, retain: true });
  return (text) => client.publishAsync('chat/lobby/say', JSON.stringify({ id: `${from}-${text}`, from, text, at: Date.now() }), { qos: 1 });
}
