// Connections that outlive their tokens: the module alone with MQTT.js, and the page in a browser. A token of TTL is
// taken for twice as long, because of the leeway; a quarter of that before its end, the broker says that it expires.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import mqtt from 'mqtt';
import { keepFresh } from '../src/fresh.js';
import { sharedBrowser } from './browser.mjs';
import { PATIENCE, sharedBroker, sign, startBroker, until } from './harness.mjs';

const timeout = 6 * PATIENCE;
const TTL = 6; // s
const lasting = (ttl) => ['--demo', '--set', `demo.token_ttl=${ttl}s`, '--set', `auth.jwt.leeway=${ttl}s`];
const broker = sharedBroker(...lasting(TTL));
const visit = sharedBrowser();

const now = () => Math.floor(Date.now() / 1000);
const mint = async (user, ttl) => sign(await broker.secret(), { sub: user, rooms: ['lobby'], iat: now(), exp: now() + ttl });

/** Connects with a token of TTL that keepFresh renews by source(), and watches it. */
async function keep(t, version, source, options = {}) {
  const seen = { connects: 0, fresh: 0, troubles: [], errors: [] };
  const client = mqtt.connect(broker.ws, {
    protocolVersion: version, username: 'ann', password: await mint('ann', TTL), reconnectPeriod: 0, ...options,
  });
  t.after(() => client.endAsync(true));
  keepFresh(client, source, {
    onFresh: () => { seen.fresh++; },
    onTrouble: (why) => seen.troubles.push(why),
  });
  client.on('connect', () => { seen.connects++; });
  client.on('error', (err) => seen.errors.push(err));
  await once(client, 'connect');
  return { client, seen };
}

for (const [name, version] of Object.entries({ '3.1.1': 4, 5: 5 })) {
  describe(`keepFresh, version ${name}`, { concurrency: true }, () => {
    test('a connection goes on over several tokens', { timeout }, async (t) => {
      const { client, seen } = await keep(t, version, () => mint('ann', TTL));
      let heard = 0;
      client.on('message', (topic) => { if (topic.startsWith('ticker/')) heard++; });
      await client.subscribeAsync('ticker/#');
      await until('three tokens were taken', () => seen.fresh >= 3);
      heard = 0;
      await until('prices come', () => heard > 0);
      assert.deepEqual([seen.connects, seen.troubles, client.connected], [1, [], true]);
    });

    test('tries again when there is none, and when it is refused', { timeout }, async (t) => {
      const source = [
        async () => { throw new Error('nobody there'); },
        () => mint('bob', 60),
        () => mint('ann', 60),
      ];
      let asked = 0;
      const { seen } = await keep(t, version, () => source[asked++](), { password: await mint('ann', 6 * TTL) });
      await until('a token was taken', () => seen.fresh === 1);
      assert.equal(seen.troubles[0], 'nobody there');
      assert.match(seen.troubles[1], /different user/);
      assert.equal(seen.connects, 1);
    });

    test('comes back with a fresh token after it was lost', { timeout }, async (t) => {
      let asked = 0;
      const options = { reconnectPeriod: 200, reconnectOnConnackError: true };
      const source = () => (asked++ < 1 ? Promise.reject(new Error('nobody there')) : mint('ann', 60));
      const { client, seen } = await keep(t, version, source, { ...options, password: await mint('ann', TTL) });
      client.stream.destroy();
      await until('it is back', () => seen.connects >= 2 && client.connected && asked >= 1);
      await until('and has a fresh token', () => seen.fresh >= 1 || asked >= 2);
      assert.equal(seen.troubles[0], 'nobody there');
    });

    test('does nothing more when stopped', { timeout }, async (t) => {
      const client = await mqtt.connectAsync(broker.ws, { protocolVersion: version, username: 'ann', password: await mint('ann', TTL), reconnectPeriod: 0 });
      t.after(() => client.endAsync(true));
      let asked = 0;
      keepFresh(client, () => { asked++; return mint('ann', TTL); })();
      client.on('error', () => {});
      await until('the token has run out', () => !client.connected);
      assert.equal(asked, 0);
    });
  });
}

describe('the page', () => {
  const login = async (of = broker) => sign(await of.secret(), { sub: 'guest', rooms: ['lobby'], login: true, iat: now(), exp: now() + 3600 });

  test('stays connected over several tokens', { timeout }, async (t) => {
    // A browser on a busy machine may take some seconds to show a token.
    const patient = await startBroker(t, ...lasting(3 * TTL));
    const token = await login(patient);
    const visitor = await visit(t, 'about:blank');
    let asked = 0;
    const urls = [];
    let sockets = 0; // of the page; others connect to this broker as well
    visitor.page.on('websocket', () => { sockets++; });
    visitor.page.on('request', (request) => urls.push(request.url()));
    visitor.page.on('response', (response) => { if (response.url().endsWith('/token') && response.ok()) asked++; });
    await visitor.page.goto(`${patient.page}#token=${token}`);
    await visitor.connected();
    await visitor.sees('#ticker-note', /^500 symbols/);
    await until('it has asked for three tokens', () => asked >= 3, 3 * PATIENCE);
    await visitor.sees('#status', /^Connected\s*$/);
    const prices = await visitor.prices();
    await until('prices still move', async () => (await visitor.prices()).some((price, i) => price !== prices[i]));
    assert.equal(sockets, 1, 'connections');
    assert.ok(urls.every((url) => new URL(url).search === ''), 'an address with a query');
  });

  test('says when it gets no fresh token, and comes back when it does', { timeout }, async (t) => {
    const visitor = await visit(t, `${broker.page}#token=${await login()}`);
    visitor.expected = /^WebSocket connection to .* failed|^Failed to load resource: .* 503/;
    await visitor.connected();
    await visitor.page.route('**/token', (route) => route.fulfill({ status: 503, body: 'closed for a while' }));
    await visitor.sees('#status', /^Connected .*no fresh token: closed for a while \(HTTP 503\); trying again/);
    await visitor.sees('#status', /^Reconnecting in \d+ s .*no fresh token: closed for a while/);
    await visitor.page.unroute('**/token');
    await visitor.sees('#status', /^Connected\s*$/);
    await visitor.sees('#ticker-note', /^500 symbols · [\d,]+ updates\/s/);
  });

  test('asks who one is when the login is no longer good', { timeout }, async (t) => {
    const visitor = await visit(t, 'about:blank');
    visitor.expected = /^Failed to load resource: .* 401/;
    const stale = sign(await broker.secret(), { sub: 'guest', rooms: [], login: true, iat: now() - 99, exp: now() - 60 });
    await visitor.page.goto(`${broker.page}#token=${stale}`);
    await visitor.sees('#sign-in .alert', /^The broker refused this token: no fresh token: send the token from the banner/);
  });
});
