// The page in a browser: prices, figures, and who may see them. With the real broker and its demo.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import mqtt from 'mqtt';
import { sharedBrowser } from './browser.mjs';
import { PATIENCE, sharedBroker, sign, startBroker, until } from './harness.mjs';

const timeout = 6 * PATIENCE;
const visit = sharedBrowser();

const broker = sharedBroker('--demo');

const visitAs = async (t, user, rooms) => visit(t, `${broker.page}#token=${await broker.token(user, rooms)}`);

test('prices move, and a click shows the chart of a symbol', { timeout }, async (t) => {
  const visitor = await visitAs(t, 'ada', ['lobby']);
  await visitor.connected();
  await visitor.sees('#ticker-note', /^500 symbols · [\d,]+ updates\/s/);
  const before = await visitor.prices();
  await until('most prices that are in view have moved', async () => {
    const now = (await visitor.prices()).slice(0, 40);
    return now.filter((price, i) => price !== before[i]).length > 20;
  });
  await visitor.sees('#rates', /^[1-9][\d,]* messages\/s · [\d.]+ KiB\/s/);

  const cell = visitor.page.locator('#grid .cell').first();
  const symbol = await cell.locator('b').innerText();
  await cell.click();
  await visitor.sees('#chart figcaption', new RegExp(`^${symbol} [\\d.]+ . [+−][\\d.]+% · low [\\d.]+ · high [\\d.]+`));
  assert.equal(await visitor.page.locator('#chart canvas').count(), 1);
  assert.equal(await cell.getAttribute('aria-pressed'), 'true');
});

test('the filter leaves what matches', { timeout }, async (t) => {
  const visitor = await visitAs(t, 'ada', []);
  await visitor.sees('#ticker-note', /^500 symbols/);
  const symbol = await visitor.text('#grid .cell:nth-child(77) b');
  await visitor.page.getByLabel('Filter symbols').fill(symbol.toLowerCase());
  await visitor.sees('#ticker-note', /^\d+ of 500 symbols/);
  const shown = await visitor.page.locator('#grid .cell:not([hidden]) b').allInnerTexts();
  assert.ok(shown.includes(symbol) && shown.every((s) => s.includes(symbol)), `shown: ${shown}`);
});

test("the machine's figures are shown", { timeout }, async (t) => {
  const visitor = await visitAs(t, 'ada', []);
  await visitor.sees('[data-kind=cpu] .figure', /^\d+%$/);
  await visitor.sees('[data-kind=memory] .note', /^[\d.]+ [MGT]iB of [\d.]+ [MGT]iB$/);
  await visitor.sees('[data-kind=disk] .figure', /^\d+%$/);
  await visitor.sees('[data-kind=network] .figure', /^[\d.]+ \w+\/s$/);
});

test('what cannot be read is passed over, and what follows is shown', { timeout }, async (t) => {
  const visitor = await visitAs(t, 'ada', []);
  await visitor.sees('#ticker-note', /^500 symbols/);
  const client = await mqtt.connectAsync(broker.ws, { protocolVersion: 5, username: 'ticker', password: await broker.token('ticker') });
  t.after(() => client.endAsync(true));
  for (const junk of ['', '{', 'null', '[]', '{"p":"1","t":1}']) await client.publishAsync('ticker/JUNK', junk, { qos: 1 });
  await client.publishAsync('ticker/GOOD', JSON.stringify({ p: 1, t: Date.now() }), { qos: 1 });
  await visitor.sees('#ticker-note', /^501 symbols · [\d,]+ updates/);
});

test('a refused token opens the box that asks for another', { timeout }, async (t) => {
  const good = await broker.token('ada', ['lobby']);
  const [header, claims, signature] = good.split('.');
  const visitor = await visit(t, `${broker.page}#token=${header}.${claims}.${[...signature].reverse().join('')}`);
  await visitor.sees('#sign-in .alert', /^The broker refused this token: .+ \(0x8[67]\)\.$/);
  await visitor.sees('#status', /^Refused/);
  await visitor.page.getByLabel('Token').fill(good);
  await visitor.page.getByRole('button', { name: 'Sign in' }).click();
  await visitor.connected();
  assert.equal(await visitor.page.locator('#sign-in').isVisible(), false);
});

test('a token that runs out opens it too, and says so', { timeout }, async (t) => {
  const exp = Math.floor(Date.now() / 1000) + 2;
  const visitor = await visit(t, `${broker.page}#token=${sign(await broker.secret(), { sub: 'ada', rooms: ['lobby'], exp })}`);
  await visitor.sees('#sign-in .alert', /^The broker refused this token: .*expired.* \(0x8[67]\)\.$/);
});

test('without a token it asks for one, and says how to mint it', { timeout }, async (t) => {
  const visitor = await visit(t, broker.page);
  await visitor.sees('#sign-in', /outcry token --user you --rooms lobby/);
  await visitor.page.getByLabel('Token').fill('letmein');
  await visitor.page.getByRole('button', { name: 'Sign in' }).click();
  await visitor.sees('#sign-in .alert', /This is not a token/);
  await visitor.page.getByLabel('Token').fill(`${broker.page}#token=${await broker.token('ada', ['lobby'])}`);
  await visitor.page.getByRole('button', { name: 'Sign in' }).click();
  await visitor.connected();
});

test('the token leaves the address, and a reload keeps it', { timeout }, async (t) => {
  const visitor = await visitAs(t, 'ada', ['lobby']);
  await visitor.connected();
  assert.equal(visitor.page.url(), broker.page);
  await visitor.page.reload();
  await visitor.connected();
  await visitor.enters('lobby');
  await visitor.page.getByRole('button', { name: 'Sign out' }).click();
  await visitor.sees('#sign-in', /wants a token/);
  await visitor.page.reload();
  await visitor.sees('#sign-in', /wants a token/);
});

test('a broker that lets anybody in needs no token', { timeout }, async (t) => {
  const open = await startBroker(t, '--open');
  const visitor = await visit(t, open.page);
  await visitor.page.getByRole('button', { name: 'Connect without a token' }).click();
  await visitor.connected();
  await visitor.joins('lobby');
  await visitor.enters('lobby');
  await visitor.says('hello');
  await visitor.hears('hello');
});

test('where a token is wanted, none is refused', { timeout }, async (t) => {
  const visitor = await visit(t, broker.page);
  await visitor.page.getByRole('button', { name: 'Connect without a token' }).click();
  await visitor.sees('#sign-in .alert', /^The broker refused a connection without a token: .+ \(0x8[67]\)\.$/);
});

test('a link does not replace the session of the tab without asking', { timeout }, async (t) => {
  const visitor = await visitAs(t, 'ada', ['lobby']);
  const { page } = visitor;
  await visitor.connected();
  const link = `${broker.page}#token=${await broker.token('mallory', ['lobby'])}`;
  const box = page.getByRole('dialog', { name: 'Sign in as somebody else?' });
  const stored = () => page.evaluate(() => sessionStorage.getItem('outcry.token'));
  const ada = await stored();
  const remains = async () => {
    await visitor.sees('#user', /^ada$/);
    await visitor.connected();
    assert.equal(await stored(), ada);
    assert.ok(!page.url().includes('token='), 'the token stays in the address');
  };

  await page.goto(link); // only the fragment differs
  await box.waitFor();
  assert.match(await box.innerText(), /sign you in as mallory\. You are ada/);
  await remains();
  await box.getByRole('button', { name: 'Stay ada' }).click();
  await remains();

  await page.goto('about:blank');
  await page.goto(link); // the page is loaded anew
  await box.waitFor();
  await remains();
  await page.keyboard.press('Escape');
  await box.waitFor({ state: 'hidden' });
  await remains();

  await page.goto(link);
  await box.getByRole('button', { name: 'Sign in as mallory' }).click();
  await visitor.sees('#user', /^mallory$/);
  await visitor.connected();
  assert.notEqual(await stored(), ada);
});

test('a link is taken where the broker has refused the token of the tab', { timeout }, async (t) => {
  const exp = Math.floor(Date.now() / 1000) - 60;
  const visitor = await visit(t, `${broker.page}#token=${sign(await broker.secret(), { sub: 'ada', rooms: [], exp })}`);
  await visitor.sees('#sign-in .alert', /expired/);
  const link = `${broker.page}#token=${await broker.token('bela', [])}`;
  await visitor.page.goto('about:blank');
  await visitor.page.goto(link); // where the page does not know yet that it will be refused again
  await visitor.sees('#user', /^bela$/);
  await visitor.connected();
});
