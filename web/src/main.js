// The page: puts together the connection, what comes in by it, and what is shown.
import { Chat } from './chat.js';
import { ChatView } from './chat-view.js';
import { Connection } from './connection.js';
import { Machines } from './machine.js';
import { MachineView } from './machine-view.js';
import { OtherSession } from './other-session.js';
import { SignIn } from './sign-in.js';
import { StatusView } from './status-view.js';
import { Ticker } from './ticker.js';
import { TickerView } from './ticker-view.js';
import * as token from './token.js';
import { clientId, newClientId } from './client-id.js';

const decoder = new TextDecoder();

const ticker = new Ticker();
const tickerView = new TickerView(ticker);
const machines = new Machines();
const machineView = new MachineView(machines);
const chatView = new ChatView();
const status = new StatusView({ onRetry: () => connection.retry(), onSignOut: signOut });
const signIn = new SignIn(use);
const otherSession = new OtherSession(use);

const connection = new Connection({
  url: `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/mqtt`,
  credentials,
  onState: stateChanged,
  onMessage: receive,
  onPacket: (bytes) => status.count(bytes),
  onTrouble: (why) => status.warn(`${why}; trying again`),
  onFresh: () => status.unwarn(),
  onTakenOver: () => chat.become(who.user, newClientId(who.user), who.rooms),
});
const chat = new Chat(connection, chatView.changed);
chatView.attach(chat);

let who = token.read('');

addEventListener('hashchange', () => enter({ isConnected: true }));
addEventListener('online', () => connection.retry());
addEventListener('pagehide', () => {
  chat.leaveAll();
  connection.stop();
});
addEventListener('pageshow', (e) => {
  if (e.persisted) enter();
});
enter();

/**
 * Connects with the token of this tab or of the address, or asks for one. If there are both, this tab's stays until the visitor
 * wants the other; one that the broker has refused is given up at once.
 */
function enter({ isConnected = false } = {}) {
  const offered = token.takeFromAddress(location, history);
  const known = token.load();
  if (offered !== null && known !== null && offered !== known && !signIn.isOpen) {
    if (!isConnected) use(known);
    otherSession.ask(offered, who.user);
    return;
  }
  if (offered !== null || known !== null) use(offered ?? known);
  else signIn.ask();
}

function use(text) {
  try {
    who = token.read(text);
  } catch (err) {
    token.forget();
    signIn.ask(err.message);
    return;
  }
  token.save(text);
  signIn.close();
  status.showUser(who.user);
  chat.become(who.user, clientId(who.user), who.rooms);
  connection.start();
}

function signOut() {
  chat.leaveAll();
  connection.stop();
  token.forget();
  status.showUser(null);
  signIn.ask();
}

/**
 * What to connect with, asked before every attempt: the token of this tab, which that of a link (#token=…) may have replaced. If
 * that is a login, tokens that live for minutes are had for it.
 */
async function credentials() {
  const known = token.load();
  const options = { clientId: clientId(who.user), will: chat.will() };
  if (!known) return options;
  if (!who.login) return { ...options, username: who.user, password: known };
  const fetchToken = () => token.exchange(known);
  return { ...options, username: who.user, password: await fetchToken(), fetchToken };
}

function stateChanged(state) {
  status.show(state);
  const what = token.load() ? 'this token' : 'a connection without a token';
  if (state.kind === 'refused') {
    const offered = otherSession.giveUp();
    if (offered === null) signIn.ask(`The broker refused ${what}: ${state.reason}.`);
    else use(offered); // there is no session that it would replace
    return;
  }
  if (state.kind !== 'connected') return;
  connection.subscribe(['ticker/#', 'machine/#'], { qos: 0 }).catch((err) => {
    if (err.code) status.warn(`No prices or figures for you: ${err.message}`);
  });
  chat.connected();
}

function receive(topic, payload, { retain, properties }) {
  const read = () => parse(payload);
  if (ticker.apply(topic, read, !retain)) tickerView.changed();
  else if (machines.apply(topic, read)) machineView.changed();
  else chat.apply(topic, read, payload.length === 0, properties?.messageExpiryInterval);
}

/**
 * The object that a payload holds; an empty one if it holds none. What others publish can be anything, and an error
 * thrown on the way of a message would end the way of all that follow: MQTT.js does not expect one.
 */
function parse(payload) {
  try {
    return Object(JSON.parse(decoder.decode(payload)));
  } catch {
    return {};
  }
}
