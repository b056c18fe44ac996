// The page when the broker is killed under it: it comes back, and finds the last values.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sharedBrowser } from './browser.mjs';
import { PATIENCE, startBroker, until } from './harness.mjs';

const timeout = 6 * PATIENCE;
const visit = sharedBrowser();

test('it comes back by itself, with the last values', { timeout }, async (t) => {
  const broker = await startBroker(t, '--demo');
  const visitor = await visit(t, `${broker.page}#token=${await broker.token('ada', ['lobby'])}`);
  await visitor.sees('#ticker-note', /^500 symbols · [\d,]+ updates\/s/);
  await visitor.enters('lobby');
  await visitor.says('before');

  await broker.kill();
  await visitor.sees('#status', /^Reconnecting in \d+ s .*(lost|reached)/);
  assert.equal((await visitor.prices()).length, 500, 'the last values stay on the page');
  await broker.start();
  await visitor.connected();
  await visitor.sees('#ticker-note', /^500 symbols · [\d,]+ updates\/s/);
  await visitor.enters('lobby');
  await visitor.says('after');
  await until('both were said, once', async () => (await visitor.heard()).join() === 'before,after'
    && (await visitor.page.locator('.sending').count()) === 0);
});

test('a page opened after it finds the last values, though no device is there', { timeout }, async (t) => {
  const broker = await startBroker(t, '--demo');
  const token = await broker.token('ada', ['lobby']);
  const first = await visit(t, `${broker.page}#token=${token}`);
  await first.sees('#ticker-note', /^500 symbols · [\d,]+ updates\/s/);
  // Prices are written behind. The transaction after the next one holds all that the page shows by now.
  const commits = await broker.metric('outcry_store_commits_total');
  await until('prices are on disk', async () => await broker.metric('outcry_store_commits_total') >= commits + 2);
  await broker.kill();
  await broker.start([]);
  const second = await visit(t, `${broker.page}#token=${token}`);
  await second.sees('#ticker-note', /^500 symbols · last values, of \d\d:\d\d:\d\d/);
  await second.sees('[data-kind=memory] .note', /iB of/);
});
