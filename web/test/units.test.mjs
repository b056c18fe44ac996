// The parts of the page that touch no document.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Chat } from '../src/chat.js';
import { bytes, Machines } from '../src/machine.js';
import { describe as describeCode } from '../src/reasons.js';
import { Series } from '../src/series.js';
import { arrow, change, Ticker } from '../src/ticker.js';
import { fromPasted, read } from '../src/token.js';

describe('Series', () => {
  const cases = {
    'keeps the newest': { capacity: 3, spacing: 1, push: [[1, 10], [2, 20], [3, 30], [4, 40]], want: [[2, 20], [3, 30], [4, 40]] },
    'passes over what is late or comes again': { capacity: 3, spacing: 1, push: [[2, 1], [2, 9], [1, 9], [3, 2]], want: [[2, 1], [3, 2]] },
    'keeps one of each span': { capacity: 9, spacing: 10, push: [[0, 1], [5, 2], [9, 3], [12, 4], [30, 5]], want: [[9, 3], [12, 4], [30, 5]] },
  };
  for (const [name, { capacity, spacing, push, want }] of Object.entries(cases)) {
    test(name, () => {
      const series = new Series(capacity, spacing);
      push.forEach(([time, value]) => series.push(time, value));
      const got = [];
      series.each((time, value) => got.push([time, value]));
      assert.deepEqual(got, want);
    });
  }
});

describe('a token', () => {
  const encode = (claims) => `h.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.s`;
  const readable = {
    'user, rooms and expiry': [encode({ sub: 'Zoë', rooms: ['a', 'b'], exp: 9 }), { user: 'Zoë', rooms: ['a', 'b'], expires: 9000, login: false }],
    'without claims': [encode({}), { user: '', rooms: [], expires: Infinity, login: false }],
    'rooms that are none': [encode({ sub: 'x', rooms: ['a', 1, null] }), { user: 'x', rooms: ['a'], expires: Infinity, login: false }],
    'one to exchange': [encode({ sub: 'x', exp: 9, login: true }), { user: 'x', rooms: [], expires: 9000, login: true }],
    'none at all': ['', { user: '', rooms: [], expires: Infinity, login: false }],
  };
  for (const [name, [token, want]] of Object.entries(readable)) {
    test(`read: ${name}`, () => assert.deepEqual(read(token), want));
  }
  for (const text of ['letmein', 'a.b', 'a.b.c.d', 'a.%%%.c', `a.${btoa('not json')}.c`]) {
    test(`not one: ${text}`, () => assert.throws(() => read(text), /not a token/));
  }
  const pasted = { ' a.b.c\n': 'a.b.c', 'http://127.0.0.1:8083/#token=a.b.c': 'a.b.c', 'http://x/#token=a%2Eb.c&x=1': 'a.b.c', '': '' };
  for (const [text, want] of Object.entries(pasted)) {
    test(`pasted: ${JSON.stringify(text)}`, () => assert.equal(fromPasted(text), want));
  }
});

describe('Ticker', () => {
  const tick = (ticker, p, t, live = true) => ticker.apply('ticker/ACME', () => ({ p, t }), live);

  test('knows the newest price, where it went, and how far from the first', () => {
    const ticker = new Ticker();
    tick(ticker, 100, 1, false);
    tick(ticker, 102, 2);
    tick(ticker, 99, 3);
    tick(ticker, 99, 4);
    const quote = ticker.quotes.get('ACME');
    assert.deepEqual([quote.price, arrow(quote.direction), change(quote), quote.time], [99, '▼', '−1.00%', 4]);
    assert.deepEqual([ticker.updates, ticker.newest], [3, 4]);
    assert.deepEqual([...ticker.take()], [quote]);
    assert.equal(ticker.take().size, 0);
  });

  test('passes over what is no price', () => {
    const ticker = new Ticker();
    for (const message of [{}, { p: '1', t: 1 }, { p: 1 }]) assert.equal(ticker.apply('ticker/X', () => message, true), true);
    assert.equal(ticker.apply('machine/x/cpu', () => assert.fail('read'), true), false);
    assert.equal(ticker.quotes.size, 0);
  });
});

describe('Machines', () => {
  const GiB = 2 ** 30;
  const figures = {
    cpu: [{ percent: 12.6, t: 1 }, '13%', 'of all cores'],
    memory: [{ used: 6 * GiB, total: 24 * GiB, t: 1 }, '25%', '6.0 GiB of 24.0 GiB'],
    disk: [{ used: 1, total: 3, read_bps: 2048, write_bps: 0, t: 1 }, '33%', '↓ 2.0 KiB/s read  ↑ 0 B/s written'],
    network: [{ rx_bps: 1000, tx_bps: 24, t: 1 }, '1.0 KiB/s', '↓ 1.0 KiB/s  ↑ 24 B/s'],
  };
  for (const [kind, [message, figure, note]] of Object.entries(figures)) {
    test(kind, () => {
      const machines = new Machines();
      assert.equal(machines.apply(`machine/box/${kind}`, () => message), true);
      const { reading } = machines.hosts.get('box').get(kind);
      assert.deepEqual([reading.figure, reading.note], [figure, note]);
    });
  }
  test('passes over what is no figure', () => {
    const machines = new Machines();
    for (const junk of [{}, { percent: 'much', t: 1 }, { percent: 1 }]) machines.apply('machine/box/cpu', () => junk);
    machines.apply('machine/box/weather', () => assert.fail('read'));
    assert.equal(machines.hosts.size, 0);
  });
});

test('bytes', () => {
  const cases = { 0: '0 B', 999: '999 B', 1000: '1.0 KiB', 123456: '121 KiB', 1048576: '1.0 MiB', 5e12: '4.5 TiB' };
  for (const [n, want] of Object.entries(cases)) assert.equal(bytes(Number(n)), want);
});

test("a reason code is told in the broker's words, or else in ours", () => {
  assert.equal(describeCode(0x87, 'token expired'), 'token expired (0x87)');
  assert.equal(describeCode(0x87), 'not authorized (0x87)');
  assert.equal(describeCode(0x9b), 'refused (0x9B)');
});

describe('Chat', () => {
  /** A connection that notes what it is asked, and answers as the test says. */
  class Line {
    asked = [];
    answers = { subscribe: async () => {}, unsubscribe: async () => {}, publish: async () => {} };
    subscribe(filters, options) { return this.#ask('subscribe', filters, options); }
    unsubscribe(filters) { return this.#ask('unsubscribe', filters); }
    publish(topic, payload, options) { return this.#ask('publish', topic, payload, options); }
    said() { return this.asked.filter(([, topic]) => /\/say$/.test(topic)).map(([, , payload]) => JSON.parse(payload)); }
    async #ask(what, ...args) {
      this.asked.push([what, ...args]);
      return this.answers[what](...args);
    }
  }
  const settled = () => new Promise(setImmediate);
  const texts = (room) => room.messages.map((m) => m.text);

  async function start(t, rooms) {
    t.mock.timers.enable({ apis: ['setInterval', 'Date'] });
    const line = new Line();
    const chat = new Chat(line, () => {});
    chat.become('ada', 'me', rooms);
    chat.connected();
    await settled();
    return { line, chat, hear: (room, message) => chat.apply(`chat/${room}/say`, () => message, false) };
  }

  test('joins the rooms of the token and tells that it is here', async (t) => {
    const { line, chat } = await start(t, ['lobby']);
    assert.deepEqual(line.asked[0], ['subscribe', ['chat/lobby/say', 'chat/lobby/here/+'], { qos: 1, nl: true }]);
    const [what, topic, payload, { retain, properties }] = line.asked[1];
    assert.deepEqual([what, topic, JSON.parse(payload).user, retain], ['publish', 'chat/lobby/here/me', 'ada', true]);
    assert.equal(properties.messageExpiryInterval, 150);
    assert.deepEqual(chat.here(chat.active).map((p) => p.user), ['ada']);
    assert.deepEqual(chat.will(), { topic: 'chat/lobby/here/me', payload: '', qos: 1, retain: true });
  });

  test('shows no message twice, and passes over what is none', async (t) => {
    const { chat, hear } = await start(t, ['lobby']);
    for (const id of ['1', '1', '2']) hear('lobby', { id, from: 'bob', text: `text ${id}`, at: 0 });
    for (const junk of [{}, { id: 1, from: 'bob', text: 'x' }, { id: '3', from: 'bob' }]) hear('lobby', junk);
    hear('elsewhere', { id: '4', from: 'bob', text: 'x' });
    assert.deepEqual(texts(chat.active), ['text 1', 'text 2']);
  });

  test('sends again, with the same id, what was not acknowledged', async (t) => {
    const { line, chat } = await start(t, ['lobby']);
    line.answers.publish = async () => { throw new Error('the connection was lost'); };
    chat.say('hello');
    await settled();
    assert.equal(chat.active.messages[0].state, 'sending');
    line.answers.publish = async () => {};
    chat.connected();
    await settled();
    assert.equal(chat.active.messages[0].state, '');
    const said = line.said();
    assert.equal(said.length, 2);
    assert.deepEqual(said[0], said[1]);
  });

  test('does not send twice what is on its way', async (t) => {
    const { line, chat } = await start(t, ['lobby']);
    line.answers.publish = () => new Promise(() => {});
    chat.say('hello');
    chat.connected();
    await settled();
    assert.equal(line.said().length, 1);
  });

  test('tells that a message was refused', async (t) => {
    const { line, chat } = await start(t, ['lobby']);
    line.answers.publish = async () => { throw Object.assign(new Error('quota exceeded (0x97)'), { code: 0x97 }); };
    chat.say('hello');
    await settled();
    assert.deepEqual([chat.active.messages[0].state, chat.active.messages[0].why], ['failed', 'quota exceeded (0x97)']);
  });

  test('a room that is refused has no will and no line to speak', async (t) => {
    const { line, chat } = await start(t, ['lobby', 'vault']);
    line.answers.subscribe = async ([topic]) => {
      if (topic.includes('vault')) throw Object.assign(new Error('not authorized (0x87)'), { code: 0x87 });
    };
    chat.connected();
    await settled();
    chat.show('vault');
    assert.deepEqual([chat.active.state, chat.active.why, chat.here(chat.active)], ['refused', 'not authorized (0x87)', []]);
    assert.equal(chat.will().topic, 'chat/lobby/here/me');
    await assert.rejects(chat.join('vault/#'), /no “\/”/);
    line.answers.subscribe = async () => { throw Object.assign(new Error('no'), { code: 0x87 }); };
    await assert.rejects(chat.join('other'), { code: 0x87 });
    assert.deepEqual([...chat.rooms.keys()], ['lobby', 'vault']);
  });

  test('leaving clears the presence', async (t) => {
    const { line, chat } = await start(t, ['lobby', 'traders']);
    await chat.leave(chat.active);
    assert.equal(chat.active.name, 'traders');
    assert.deepEqual(line.asked.slice(-2).map(([what, topic, payload]) => [what, topic, payload]), [
      ['unsubscribe', ['chat/lobby/say', 'chat/lobby/here/+'], undefined],
      ['publish', 'chat/lobby/here/me', ''],
    ]);
  });

  test('presence that is not renewed runs out, if it was to', async (t) => {
    const { chat } = await start(t, ['lobby']);
    const here = (client, user, expiry) => chat.apply(`chat/lobby/here/${client}`, () => ({ user }), false, expiry);
    here('b', 'bob', 150);
    here('c', 'cid');
    t.mock.timers.tick(120_000);
    assert.deepEqual(chat.here(chat.active).map((p) => p.user), ['ada', 'bob', 'cid']);
    t.mock.timers.tick(60_000);
    assert.deepEqual(chat.here(chat.active).map((p) => p.user), ['ada', 'cid']);
    chat.apply('chat/lobby/here/c', () => assert.fail('read'), true);
    assert.deepEqual(chat.here(chat.active).map((p) => p.user), ['ada']);
  });
});
