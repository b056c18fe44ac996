// Chat on the page, between several browsers.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sharedBrowser, visitAlone } from './browser.mjs';
import { PATIENCE, sharedBroker, until } from './harness.mjs';

const timeout = 6 * PATIENCE;
const visit = sharedBrowser();

const broker = sharedBroker();

const address = async (user, rooms) => `${broker.page}#token=${await broker.token(user, rooms)}`;
const visitAs = async (t, user, rooms) => visit(t, await address(user, rooms));

test('two browsers chat in one room, each message once, and no other room is heard', { timeout }, async (t) => {
  const ada = await visitAs(t, 'ada', ['lobby', 'ada-only']);
  const bob = await visitAlone(t, await address('bob', ['lobby', 'bob-only']));
  for (const [visitor, own] of [[ada, 'ada-only'], [bob, 'bob-only']]) {
    await visitor.enters(own);
    await visitor.says(`private to ${own}`);
    await visitor.enters('lobby');
  }
  await until('they see each other', async () => (
    (await ada.company()).join() === 'ada (you),bob' && (await bob.company()).join() === 'bob (you),ada'));

  for (let i = 1; i <= 5; i++) {
    await ada.says(`ada ${i}`);
    await bob.hears(`ada ${i}`);
    await bob.says(`bob ${i}`);
    await ada.hears(`bob ${i}`);
  }
  const conversation = [1, 2, 3, 4, 5].flatMap((i) => [`ada ${i}`, `bob ${i}`]);
  for (const [visitor, own] of [[ada, 'ada-only'], [bob, 'bob-only']]) {
    assert.deepEqual(await visitor.heard(), conversation);
    await until('nothing is left to be acknowledged', async () => (await visitor.page.locator('.sending').count()) === 0);
    await visitor.enters(own);
    assert.deepEqual(await visitor.heard(), [`private to ${own}`]);
  }
});

test('who leaves is not shown as being here', { timeout }, async (t) => {
  const ada = await visitAs(t, 'ada', ['stay']);
  const bob = await visitAs(t, 'bob', ['stay', 'other']);
  const eve = await visitAs(t, 'eve', ['stay']);
  await ada.enters('stay');
  await until('all are here', async () => (await ada.company()).join() === 'ada (you),bob,eve');
  await bob.page.getByRole('button', { name: 'Leave' }).click();
  await until('bob, who left the room, is gone', async () => (await ada.company()).join() === 'ada (you),eve');
  await eve.page.context().close();
  await until('eve, who closed the browser, is gone', async () => (await ada.company()).join() === 'ada (you)');
});

test('what is said is text and not markup', { timeout }, async (t) => {
  const text = '<img src=x onerror="document.title=1"> & <b>bold</b>';
  const visitor = await visitAs(t, '<i>mallory</i>', ['lobby']);
  await visitor.enters('lobby');
  await visitor.says(text);
  await visitor.hears(text);
  assert.equal(await visitor.page.title(), 'Outcry');
});

test('a room that the token does not list is refused by name', { timeout }, async (t) => {
  const visitor = await visitAs(t, 'ada', ['lobby']);
  await visitor.enters('lobby');
  await visitor.joins('vault');
  await visitor.sees('#chat-alert', /does not let you into “vault”: .*\(0x87\).*a token whose rooms list it/);
  assert.deepEqual(await visitor.page.getByRole('tab').allInnerTexts(), ['lobby']);
});

test('a tab that was duplicated does not fight with its original', { timeout }, async (t) => {
  const first = await visitAs(t, 'ada', ['lobby']);
  await first.enters('lobby');
  const opened = first.page.context().waitForEvent('page');
  await first.page.evaluate(() => { window.open(location.href); }); // which copies the session storage, as duplicating does
  const second = await opened;
  await until('both are here as two', async () => (await first.company()).length === 2
    && (await second.locator('#here li').count()) === 2);
  assert.match(await second.locator('#status').innerText(), /^Connected/);
  await first.connected();
});
